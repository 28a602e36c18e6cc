# METADATA
# title: Log groups keep a year
# custom:
#   id: aws-log-group-retention
#   severity: low
#   remediation: "Set retention_in_days to 365 or more, or to 0 for ever."
#   resource_types:
#     - aws_cloudwatch_log_group
#   decides:
#     - retention_in_days
#   denies: present
#   controls:
#     CIS-Controls-8: ["8.10"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.316(b)(2)(i)"]
#     NIST-800-53r5: ["AU-11"]
#     PCI-DSS-4.0: ["10.5.1"]
#     SOC2: ["CC7.2"]
package weir.aws.log_group_retention

import data.weir.lib

deny contains "logs are kept for less than a year" if {
	days := lib.number("retention_in_days", 0)
	days > 0
	days < 365
}
