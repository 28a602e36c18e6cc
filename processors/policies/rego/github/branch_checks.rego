# METADATA
# title: Protected branches ask for checks
# custom:
#   id: github-branch-checks
#   severity: medium
#   remediation: "Add required_status_checks."
#   resource_types:
#     - github_branch_protection
#     - github_branch_protection_v3
#   controls:
#     CIS-Controls-8: ["16.1"]
#     CIS-GitHub-1.0: ["1.1.9"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(8)"]
#     NIST-800-53r5: ["CM-3", "SA-11", "SI-7"]
#     PCI-DSS-4.0: ["6.2.3", "6.5.1"]
#     SOC2: ["CC8.1"]
package weir.github.branch_checks

import data.weir.lib

deny contains "no check is asked for" if {
	count(lib.values("required_status_checks.contexts")) == 0
	count(lib.values("required_status_checks.checks")) == 0
	not lib.unknown("required_status_checks.contexts")
}
