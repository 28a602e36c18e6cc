# METADATA
# title: Datasets are not open to everybody
# custom:
#   id: gcp-bigquery-not-public
#   severity: critical
#   remediation: "Name users, groups or views."
#   resource_types:
#     - google_bigquery_dataset
#     - google_bigquery_dataset_access
#   decides:
#     - access.special_group
#     - access.iam_member
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     CIS-GCP-3.0: ["7.1"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.gcp.bigquery_not_public

import data.weir.lib

deny contains "everybody with an account of Google has access" if {
	some path in {"access.special_group", "special_group"}
	lib.any_in(path, {"allAuthenticatedUsers"})
}

deny contains "everybody has access" if {
	some path in {"access.iam_member", "iam_member"}
	lib.any_in(path, {"allUsers", "allAuthenticatedUsers"})
}
