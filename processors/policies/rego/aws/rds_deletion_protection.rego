# METADATA
# title: RDS is protected from deletion
# custom:
#   id: aws-rds-deletion-protection
#   severity: medium
#   remediation: "Set deletion_protection to true."
#   resource_types:
#     - aws_db_instance
#     - aws_rds_cluster
#     - aws_rds_global_cluster
#     - aws_docdb_cluster
#     - aws_neptune_cluster
#   decides:
#     - deletion_protection
#   controls:
#     CIS-Controls-8: ["11.1"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(7)(i)"]
#     NIST-800-53r5: ["CP-10", "SC-5"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.aws.rds_deletion_protection

import data.weir.lib

deny contains "the database can be deleted by mistake" if not lib.all_true("deletion_protection")
