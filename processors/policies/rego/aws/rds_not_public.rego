# METADATA
# title: RDS is not reachable from the internet
# custom:
#   id: aws-rds-not-public
#   severity: critical
#   remediation: "Set publicly_accessible to false."
#   resource_types:
#     - aws_db_instance
#     - aws_rds_cluster_instance
#   decides:
#     - publicly_accessible
#   denies: present
#   controls:
#     CIS-AWS-3.0: ["2.3.3"]
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.rds_not_public

import data.weir.lib

deny contains "the database is reachable from the internet" if lib.any_true("publicly_accessible")
