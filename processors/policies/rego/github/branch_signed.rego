# METADATA
# title: Protected branches take signed commits
# custom:
#   id: github-branch-signed
#   severity: low
#   remediation: "Set require_signed_commits to true."
#   resource_types:
#     - github_branch_protection
#     - github_branch_protection_v3
#   decides:
#     - require_signed_commits
#   controls:
#     CIS-Controls-8: ["8.9"]
#     CIS-GitHub-1.0: ["1.1.12"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(c)(1)"]
#     NIST-800-53r5: ["AU-9", "SI-7"]
#     PCI-DSS-4.0: ["10.3.2", "10.3.4"]
#     SOC2: ["CC7.2"]
package weir.github.branch_signed

import data.weir.lib

deny contains "commits without a signature are accepted" if not lib.all_true("require_signed_commits")
