# METADATA
# title: Firehose streams are encrypted
# custom:
#   id: aws-firehose-encrypted
#   severity: medium
#   remediation: "Set server_side_encryption.enabled to true."
#   resource_types:
#     - aws_kinesis_firehose_delivery_stream
#   decides:
#     - server_side_encryption.enabled
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.firehose_encrypted

import data.weir.lib

applies if count(lib.blocks("kinesis_source_configuration")) == 0

deny contains "the stream is not encrypted" if not lib.all_true("server_side_encryption.enabled")
