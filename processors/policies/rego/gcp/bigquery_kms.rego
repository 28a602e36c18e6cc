# METADATA
# title: Datasets encrypt with keys of yours
# custom:
#   id: gcp-bigquery-kms
#   severity: low
#   remediation: "Set default_encryption_configuration.kms_key_name."
#   resource_types:
#     - google_bigquery_dataset
#   controls:
#     CIS-Controls-8: ["3.11"]
#     CIS-GCP-3.0: ["7.3"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.gcp.bigquery_kms

import data.weir.lib

deny contains "tables are encrypted with a key of Google" if {
	not lib.present("default_encryption_configuration.kms_key_name")
}
