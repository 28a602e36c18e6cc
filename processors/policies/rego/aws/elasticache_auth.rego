# METADATA
# title: ElastiCache asks for a token or a user
# custom:
#   id: aws-elasticache-auth
#   severity: medium
#   remediation: "Set auth_token or user_group_ids."
#   resource_types:
#     - aws_elasticache_replication_group
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.aws.elasticache_auth

import data.weir.lib

deny contains "anybody in the network may read" if {
	not lib.present("auth_token")
	not lib.present("user_group_ids")
}
