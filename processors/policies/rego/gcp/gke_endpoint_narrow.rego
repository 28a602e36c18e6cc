# METADATA
# title: GKE control planes are reached from named networks
# custom:
#   id: gcp-gke-endpoint-narrow
#   severity: high
#   remediation: "Add master_authorized_networks_config, or a private endpoint."
#   resource_types:
#     - google_container_cluster
#   decides:
#     - master_authorized_networks_config.cidr_blocks.cidr_block
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.gke_endpoint_narrow

import data.weir.lib

deny contains "the control plane is open to the internet" if {
	not lib.any_true("private_cluster_config.enable_private_endpoint")
	count(lib.blocks("master_authorized_networks_config")) == 0
}

deny contains "the control plane is open to the internet" if {
	some range in lib.values("master_authorized_networks_config.cidr_blocks.cidr_block")
	lib.is_anywhere(range)
}
