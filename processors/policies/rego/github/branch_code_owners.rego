# METADATA
# title: Owners of code review it
# custom:
#   id: github-branch-code-owners
#   severity: low
#   remediation: "Set required_pull_request_reviews.require_code_owner_reviews to true."
#   resource_types:
#     - github_branch_protection
#     - github_branch_protection_v3
#   decides:
#     - required_pull_request_reviews.require_code_owner_reviews
#   controls:
#     CIS-Controls-8: ["16.1"]
#     CIS-GitHub-1.0: ["1.1.7"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(8)"]
#     NIST-800-53r5: ["CM-3", "SA-11", "SI-7"]
#     PCI-DSS-4.0: ["6.2.3", "6.5.1"]
#     SOC2: ["CC8.1"]
package weir.github.branch_code_owners

import data.weir.lib

deny contains "owners of code are not asked" if {
	not lib.all_true("required_pull_request_reviews.require_code_owner_reviews")
}
