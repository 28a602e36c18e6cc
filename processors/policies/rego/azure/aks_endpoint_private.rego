# METADATA
# title: AKS control planes are not open to the internet
# custom:
#   id: azure-aks-endpoint-private
#   severity: high
#   remediation: "Set private_cluster_enabled, or name authorized_ip_ranges."
#   resource_types:
#     - azurerm_kubernetes_cluster
#   decides:
#     - private_cluster_enabled
#     - api_server_access_profile.authorized_ip_ranges
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.aks_endpoint_private

import data.weir.lib

deny contains "the control plane is open to the internet" if {
	not lib.any_true("private_cluster_enabled")
	not restricted
}

restricted if {
	some path in {"api_server_access_profile.authorized_ip_ranges", "api_server_authorized_ip_ranges"}
	ranges := lib.values(path)
	count(ranges) > 0
	every range in ranges {
		not lib.is_anywhere(range)
	}
}
