# METADATA
# title: Policies of queues and topics do not allow anybody
# custom:
#   id: aws-queue-policy-not-public
#   severity: high
#   remediation: "Name the principals, or add a condition on their account."
#   resource_types:
#     - aws_sqs_queue_policy
#     - aws_sqs_queue
#     - aws_sns_topic_policy
#     - aws_sns_topic
#   decides:
#     - policy
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.queue_policy_not_public

import data.weir.lib

deny contains "the policy allows anybody" if {
	some statement in lib.statements("policy")
	lib.is_public(statement)
}
