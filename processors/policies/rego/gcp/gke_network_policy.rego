# METADATA
# title: GKE enforces network policies
# custom:
#   id: gcp-gke-network-policy
#   severity: medium
#   remediation: "Set network_policy.enabled, or datapath_provider to ADVANCED_DATAPATH."
#   resource_types:
#     - google_container_cluster
#   decides:
#     - network_policy.enabled
#     - datapath_provider
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.gke_network_policy

import data.weir.lib

deny contains "no network policy is enforced" if {
	not lib.any_true("network_policy.enabled")
	not lib.any_in("datapath_provider", {"ADVANCED_DATAPATH"})
	not lib.any_true("enable_autopilot")
}
