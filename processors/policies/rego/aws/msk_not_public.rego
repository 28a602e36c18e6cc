# METADATA
# title: Brokers of MSK are on private networks
# custom:
#   id: aws-msk-not-public
#   severity: high
#   remediation: "Leave connectivity_info.public_access.type at DISABLED."
#   resource_types:
#     - aws_msk_cluster
#   decides:
#     - broker_node_group_info.connectivity_info.public_access.type
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4", "12.2"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.msk_not_public

import data.weir.lib

deny contains "brokers have public addresses" if {
	some kind in lib.values("broker_node_group_info.connectivity_info.public_access.type")
	kind != "DISABLED"
}
