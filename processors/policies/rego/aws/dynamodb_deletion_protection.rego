# METADATA
# title: DynamoDB tables are protected from deletion
# custom:
#   id: aws-dynamodb-deletion-protection
#   severity: low
#   remediation: "Set deletion_protection_enabled to true."
#   resource_types:
#     - aws_dynamodb_table
#   decides:
#     - deletion_protection_enabled
#   controls:
#     CIS-Controls-8: ["11.1"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(7)(i)"]
#     NIST-800-53r5: ["CP-10", "SC-5"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.aws.dynamodb_deletion_protection

import data.weir.lib

deny contains "the table can be deleted by mistake" if not lib.all_true("deletion_protection_enabled")
