# METADATA
# title: ElastiCache keeps snapshots
# custom:
#   id: aws-elasticache-snapshots
#   severity: low
#   remediation: "Set snapshot_retention_limit to 1 or more."
#   resource_types:
#     - aws_elasticache_replication_group
#     - aws_elasticache_cluster
#   decides:
#     - snapshot_retention_limit
#   controls:
#     CIS-Controls-8: ["11.2"]
#     GDPR: ["Art.32(1)(c)"]
#     HIPAA: ["164.308(a)(7)(ii)(A)"]
#     NIST-800-53r5: ["CP-9"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.aws.elasticache_snapshots

import data.weir.lib

applies if lib.value("engine", "redis") != "memcached"

deny contains "no snapshot is kept" if lib.number("snapshot_retention_limit", 0) < 1
