# METADATA
# title: Protected branches ask for two reviews
# custom:
#   id: github-branch-two-reviews
#   severity: low
#   remediation: "Set required_approving_review_count to 2."
#   resource_types:
#     - github_branch_protection
#     - github_branch_protection_v3
#   decides:
#     - required_pull_request_reviews.required_approving_review_count
#   controls:
#     CIS-Controls-8: ["16.1"]
#     CIS-GitHub-1.0: ["1.1.3"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(8)"]
#     NIST-800-53r5: ["CM-3", "SA-11", "SI-7"]
#     PCI-DSS-4.0: ["6.2.3", "6.5.1"]
#     SOC2: ["CC8.1"]
package weir.github.branch_two_reviews

import data.weir.lib

deny contains "fewer than two reviews are asked for" if {
	lib.number("required_pull_request_reviews.required_approving_review_count", 1) < 2
}
