# METADATA
# title: Buckets encrypt with keys of yours
# custom:
#   id: gcp-storage-kms
#   severity: low
#   remediation: "Set encryption.default_kms_key_name."
#   resource_types:
#     - google_storage_bucket
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.gcp.storage_kms

import data.weir.lib

deny contains "objects are encrypted with a key of Google" if {
	not lib.present("encryption.default_kms_key_name")
}
