# METADATA
# title: Nodes of GKE are shielded
# custom:
#   id: gcp-gke-shielded-nodes
#   severity: low
#   remediation: "Set enable_shielded_nodes to true."
#   resource_types:
#     - google_container_cluster
#   decides:
#     - enable_shielded_nodes
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.gcp.gke_shielded_nodes

import data.weir.lib

deny contains "nodes are not shielded" if {
	some value in lib.values("enable_shielded_nodes")
	value == false
}
