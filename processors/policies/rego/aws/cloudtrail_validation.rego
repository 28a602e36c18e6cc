# METADATA
# title: CloudTrail can prove its logs
# custom:
#   id: aws-cloudtrail-validation
#   severity: medium
#   remediation: "Set enable_log_file_validation to true."
#   resource_types:
#     - aws_cloudtrail
#   decides:
#     - enable_log_file_validation
#   controls:
#     CIS-AWS-3.0: ["3.2"]
#     CIS-Controls-8: ["8.9"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(c)(1)"]
#     NIST-800-53r5: ["AU-9", "SI-7"]
#     PCI-DSS-4.0: ["10.3.2", "10.3.4"]
#     SOC2: ["CC7.2"]
package weir.aws.cloudtrail_validation

import data.weir.lib

deny contains "a changed log file cannot be recognised" if {
	not lib.all_true("enable_log_file_validation")
}
