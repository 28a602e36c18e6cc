# METADATA
# title: RDS keeps backups for a week or more
# custom:
#   id: aws-rds-backup
#   severity: medium
#   remediation: "Set backup_retention_period to 7 or more."
#   resource_types:
#     - aws_db_instance
#     - aws_rds_cluster
#   decides:
#     - backup_retention_period
#   controls:
#     CIS-Controls-8: ["11.2"]
#     GDPR: ["Art.32(1)(c)"]
#     HIPAA: ["164.308(a)(7)(ii)(A)"]
#     NIST-800-53r5: ["CP-9"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.aws.rds_backup

import data.weir.lib

applies if not lib.present("replicate_source_db")

deny contains "backups are kept for less than 7 days" if lib.number("backup_retention_period", 0) < 7
