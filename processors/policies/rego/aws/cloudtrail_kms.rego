# METADATA
# title: CloudTrail encrypts with a key of KMS
# custom:
#   id: aws-cloudtrail-kms
#   severity: medium
#   remediation: "Set kms_key_id."
#   resource_types:
#     - aws_cloudtrail
#   controls:
#     CIS-AWS-3.0: ["3.5"]
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.aws.cloudtrail_kms

import data.weir.lib

deny contains "the logs are not encrypted with a key of KMS" if not lib.present("kms_key_id")
