# METADATA
# title: Administrators keep the rules of branches
# custom:
#   id: github-branch-admins
#   severity: medium
#   remediation: "Set enforce_admins to true."
#   resource_types:
#     - github_branch_protection
#     - github_branch_protection_v3
#   decides:
#     - enforce_admins
#   controls:
#     CIS-Controls-8: ["16.1"]
#     CIS-GitHub-1.0: ["1.1.14"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(8)"]
#     NIST-800-53r5: ["CM-3", "SA-11", "SI-7"]
#     PCI-DSS-4.0: ["6.2.3", "6.5.1"]
#     SOC2: ["CC8.1"]
package weir.github.branch_admins

import data.weir.lib

deny contains "administrators may pass by" if not lib.all_true("enforce_admins")
