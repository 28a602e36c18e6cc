# METADATA
# title: Kinesis streams are encrypted
# custom:
#   id: aws-kinesis-encrypted
#   severity: high
#   remediation: "Set encryption_type to KMS."
#   resource_types:
#     - aws_kinesis_stream
#   decides:
#     - encryption_type
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.kinesis_encrypted

import data.weir.lib

deny contains "the stream is not encrypted" if not lib.all_in("encryption_type", {"KMS"})
