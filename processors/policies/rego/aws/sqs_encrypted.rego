# METADATA
# title: SQS queues are encrypted
# custom:
#   id: aws-sqs-encrypted
#   severity: medium
#   remediation: "Set kms_master_key_id or sqs_managed_sse_enabled."
#   resource_types:
#     - aws_sqs_queue
#   decides:
#     - sqs_managed_sse_enabled
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.sqs_encrypted

import data.weir.lib

deny contains "the queue is not encrypted" if {
	not lib.present("kms_master_key_id")
	not lib.any_true("sqs_managed_sse_enabled")
}
