# METADATA
# title: Nodes of GKE have no public address
# custom:
#   id: gcp-gke-private-nodes
#   severity: medium
#   remediation: "Set private_cluster_config.enable_private_nodes to true."
#   resource_types:
#     - google_container_cluster
#   decides:
#     - private_cluster_config.enable_private_nodes
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.gke_private_nodes

import data.weir.lib

deny contains "nodes have public addresses" if {
	not lib.all_true("private_cluster_config.enable_private_nodes")
}
