# METADATA
# title: New commits ask for new reviews
# custom:
#   id: github-branch-stale-reviews
#   severity: medium
#   remediation: "Set required_pull_request_reviews.dismiss_stale_reviews to true."
#   resource_types:
#     - github_branch_protection
#     - github_branch_protection_v3
#   decides:
#     - required_pull_request_reviews.dismiss_stale_reviews
#   controls:
#     CIS-Controls-8: ["16.1"]
#     CIS-GitHub-1.0: ["1.1.4"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(8)"]
#     NIST-800-53r5: ["CM-3", "SA-11", "SI-7"]
#     PCI-DSS-4.0: ["6.2.3", "6.5.1"]
#     SOC2: ["CC8.1"]
package weir.github.branch_stale_reviews

import data.weir.lib

deny contains "reviews of older commits count" if {
	not lib.all_true("required_pull_request_reviews.dismiss_stale_reviews")
}
