# METADATA
# title: DynamoDB tables recover to any moment
# custom:
#   id: aws-dynamodb-recovery
#   severity: medium
#   remediation: "Set point_in_time_recovery.enabled to true."
#   resource_types:
#     - aws_dynamodb_table
#   decides:
#     - point_in_time_recovery.enabled
#   controls:
#     CIS-Controls-8: ["11.2"]
#     GDPR: ["Art.32(1)(c)"]
#     HIPAA: ["164.308(a)(7)(ii)(A)"]
#     NIST-800-53r5: ["CP-9"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.aws.dynamodb_recovery

import data.weir.lib

deny contains "the table cannot be recovered to a moment" if {
	not lib.all_true("point_in_time_recovery.enabled")
}
