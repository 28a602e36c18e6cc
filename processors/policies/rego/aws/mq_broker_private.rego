# METADATA
# title: Brokers of MQ are not public
# custom:
#   id: aws-mq-broker-private
#   severity: high
#   remediation: "Set publicly_accessible to false."
#   resource_types:
#     - aws_mq_broker
#   decides:
#     - publicly_accessible
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.mq_broker_private

import data.weir.lib

deny contains "the broker is reachable from the internet" if lib.any_true("publicly_accessible")
