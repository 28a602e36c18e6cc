# METADATA
# title: Keys rotate within 90 days
# custom:
#   id: gcp-kms-rotation
#   severity: medium
#   remediation: "Set rotation_period to 7776000s or less."
#   resource_types:
#     - google_kms_crypto_key
#   decides:
#     - rotation_period
#   controls:
#     CIS-Controls-8: ["3.11"]
#     CIS-GCP-3.0: ["1.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.gcp.kms_rotation

import data.weir.lib

applies if lib.value("purpose", "ENCRYPT_DECRYPT") == "ENCRYPT_DECRYPT"

deny contains "the key does not rotate" if not lib.present("rotation_period")

deny contains "the key rotates in more than 90 days" if {
	some period in lib.values("rotation_period")
	to_number(trim_suffix(period, "s")) > 7776000
}
