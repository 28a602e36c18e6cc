# METADATA
# title: Buckets prevent public access
# custom:
#   id: gcp-storage-public-access-prevention
#   severity: medium
#   remediation: "Set public_access_prevention to enforced."
#   resource_types:
#     - google_storage_bucket
#   decides:
#     - public_access_prevention
#   controls:
#     CIS-Controls-8: ["3.3"]
#     CIS-GCP-3.0: ["5.1"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.gcp.storage_public_access_prevention

import data.weir.lib

deny contains "public access is not prevented" if {
	not lib.all_in("public_access_prevention", {"enforced"})
}
