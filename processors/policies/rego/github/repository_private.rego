# METADATA
# title: Repositories are not public unawares
# custom:
#   id: github-repository-private
#   severity: medium
#   remediation: "Set visibility to private or internal."
#   resource_types:
#     - github_repository
#   decides:
#     - visibility
#     - private
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.github.repository_private

import data.weir.lib

deny contains "the repository is public" if lib.value("visibility", "") == "public"

deny contains "the repository is public" if {
	lib.value("visibility", "") == ""
	not lib.any_true("private")
}
