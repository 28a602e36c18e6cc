# METADATA
# title: RDS exports its logs
# custom:
#   id: aws-rds-log-exports
#   severity: low
#   remediation: "Set enabled_cloudwatch_logs_exports."
#   resource_types:
#     - aws_db_instance
#     - aws_rds_cluster
#     - aws_docdb_cluster
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.rds_log_exports

import data.weir.lib

deny contains "no log is exported" if {
	count(lib.values("enabled_cloudwatch_logs_exports")) == 0
	not lib.unknown("enabled_cloudwatch_logs_exports")
}
