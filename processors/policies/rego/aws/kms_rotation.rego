# METADATA
# title: Keys of KMS rotate
# custom:
#   id: aws-kms-rotation
#   severity: medium
#   remediation: "Set enable_key_rotation to true."
#   resource_types:
#     - aws_kms_key
#   decides:
#     - enable_key_rotation
#   controls:
#     CIS-AWS-3.0: ["3.6"]
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.aws.kms_rotation

import data.weir.lib

# Keys that sign, and imported ones, do not rotate.
applies if {
	lib.value("customer_master_key_spec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
	lib.value("key_usage", "ENCRYPT_DECRYPT") == "ENCRYPT_DECRYPT"
}

deny contains "the key does not rotate" if not lib.all_true("enable_key_rotation")
