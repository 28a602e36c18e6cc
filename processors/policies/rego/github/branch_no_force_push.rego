# METADATA
# title: Protected branches keep their history
# custom:
#   id: github-branch-no-force-push
#   severity: high
#   remediation: "Set allows_force_pushes and allows_deletions to false."
#   resource_types:
#     - github_branch_protection
#     - github_branch_protection_v3
#   decides:
#     - allows_force_pushes
#     - allows_deletions
#   denies: present
#   controls:
#     CIS-Controls-8: ["8.9"]
#     CIS-GitHub-1.0: ["1.1.16", "1.1.17"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(c)(1)"]
#     NIST-800-53r5: ["AU-9", "SI-7"]
#     PCI-DSS-4.0: ["10.3.2", "10.3.4"]
#     SOC2: ["CC7.2"]
package weir.github.branch_no_force_push

import data.weir.lib

deny contains sprintf("%s is true", [name]) if {
	some name in {"allows_force_pushes", "allows_deletions", "allow_force_pushes", "allow_deletions"}
	lib.any_true(name)
}
