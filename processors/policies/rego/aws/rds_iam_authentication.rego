# METADATA
# title: RDS accepts identities of IAM
# custom:
#   id: aws-rds-iam-authentication
#   severity: low
#   remediation: "Set iam_database_authentication_enabled to true."
#   resource_types:
#     - aws_db_instance
#     - aws_rds_cluster
#     - aws_neptune_cluster
#   decides:
#     - iam_database_authentication_enabled
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.aws.rds_iam_authentication

import data.weir.lib

deny contains "databases are entered with passwords alone" if {
	not lib.any_true("iam_database_authentication_enabled")
	not regex.match(`^(oracle|sqlserver|custom)`, lib.value("engine", ""))
}
