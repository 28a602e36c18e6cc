# METADATA
# title: DynamoDB tables encrypt with keys of KMS
# custom:
#   id: aws-dynamodb-kms
#   severity: low
#   remediation: "Set server_side_encryption.enabled to true."
#   resource_types:
#     - aws_dynamodb_table
#   decides:
#     - server_side_encryption.enabled
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.aws.dynamodb_kms

import data.weir.lib

deny contains "the table is encrypted with a key of AWS" if {
	not lib.all_true("server_side_encryption.enabled")
}
