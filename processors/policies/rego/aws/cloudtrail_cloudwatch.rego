# METADATA
# title: CloudTrail hands its records to CloudWatch
# custom:
#   id: aws-cloudtrail-cloudwatch
#   severity: low
#   remediation: "Set cloud_watch_logs_group_arn."
#   resource_types:
#     - aws_cloudtrail
#   controls:
#     CIS-Controls-8: ["13.1"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(1)(ii)(D)"]
#     NIST-800-53r5: ["SI-4"]
#     PCI-DSS-4.0: ["10.4.1"]
#     SOC2: ["CC7.2", "CC7.3"]
package weir.aws.cloudtrail_cloudwatch

import data.weir.lib

deny contains "the records reach no alarm" if not lib.present("cloud_watch_logs_group_arn")
