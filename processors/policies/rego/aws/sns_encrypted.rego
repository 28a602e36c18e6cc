# METADATA
# title: SNS topics are encrypted
# custom:
#   id: aws-sns-encrypted
#   severity: medium
#   remediation: "Set kms_master_key_id."
#   resource_types:
#     - aws_sns_topic
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.sns_encrypted

import data.weir.lib

deny contains "the topic is not encrypted" if not lib.present("kms_master_key_id")
