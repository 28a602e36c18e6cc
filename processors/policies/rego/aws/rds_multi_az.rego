# METADATA
# title: RDS instances stand in several zones
# custom:
#   id: aws-rds-multi-az
#   severity: medium
#   remediation: "Set multi_az to true."
#   resource_types:
#     - aws_db_instance
#   decides:
#     - multi_az
#   controls:
#     CIS-Controls-8: ["11.1"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(7)(i)"]
#     NIST-800-53r5: ["CP-10", "SC-5"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.aws.rds_multi_az

import data.weir.lib

applies if not lib.present("replicate_source_db")

deny contains "the instance stands in one zone" if not lib.all_true("multi_az")
