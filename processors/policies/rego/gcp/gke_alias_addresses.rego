# METADATA
# title: GKE uses alias addresses
# custom:
#   id: gcp-gke-alias-addresses
#   severity: low
#   remediation: "Add ip_allocation_policy."
#   resource_types:
#     - google_container_cluster
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.gke_alias_addresses

import data.weir.lib

deny contains "the cluster uses routes in place of alias addresses" if {
	count(lib.blocks("ip_allocation_policy")) == 0
	not lib.any_true("enable_autopilot")
	not lib.any_in("networking_mode", {"VPC_NATIVE"})
	not lib.unknown("ip_allocation_policy")
}
