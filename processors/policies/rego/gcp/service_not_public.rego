# METADATA
# title: Functions and services are called by named members
# custom:
#   id: gcp-service-not-public
#   severity: medium
#   remediation: "Name the members, or serve the public through a load balancer."
#   resource_types:
#     - google_cloudfunctions_function_iam_member
#     - google_cloudfunctions_function_iam_binding
#     - google_cloudfunctions2_function_iam_member
#     - google_cloudfunctions2_function_iam_binding
#     - google_cloud_run_service_iam_member
#     - google_cloud_run_service_iam_binding
#     - google_cloud_run_v2_service_iam_member
#     - google_cloud_run_v2_service_iam_binding
#   decides:
#     - member
#     - members
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.gcp.service_not_public

import data.weir.lib

deny contains "anybody may call it" if {
	some path in {"member", "members"}
	some member in lib.values(path)
	member in {"allUsers", "allAuthenticatedUsers"}
}
