# METADATA
# title: ElastiCache encrypts data at rest
# custom:
#   id: aws-elasticache-rest
#   severity: high
#   remediation: "Set at_rest_encryption_enabled to true."
#   resource_types:
#     - aws_elasticache_replication_group
#   decides:
#     - at_rest_encryption_enabled
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.elasticache_rest

import data.weir.lib

deny contains "data at rest is not encrypted" if not lib.all_true("at_rest_encryption_enabled")
