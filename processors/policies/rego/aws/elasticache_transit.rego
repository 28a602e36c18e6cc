# METADATA
# title: ElastiCache encrypts traffic
# custom:
#   id: aws-elasticache-transit
#   severity: high
#   remediation: "Set transit_encryption_enabled to true."
#   resource_types:
#     - aws_elasticache_replication_group
#   decides:
#     - transit_encryption_enabled
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.elasticache_transit

import data.weir.lib

deny contains "traffic is not encrypted" if not lib.all_true("transit_encryption_enabled")
