# METADATA
# title: CloudFront logs access
# custom:
#   id: aws-cloudfront-logging
#   severity: low
#   remediation: "Add logging_config."
#   resource_types:
#     - aws_cloudfront_distribution
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.cloudfront_logging

import data.weir.lib

deny contains "access is not logged" if not lib.present("logging_config.bucket")
