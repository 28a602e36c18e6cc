# METADATA
# title: Registries are not on public networks
# custom:
#   id: azure-registry-not-public
#   severity: medium
#   remediation: "Set public_network_access_enabled to false, or anonymous_pull_enabled to false."
#   resource_types:
#     - azurerm_container_registry
#   decides:
#     - public_network_access_enabled
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.registry_not_public

import data.weir.lib

deny contains "the registry is on public networks" if {
	not lib.any_in("public_network_access_enabled", {false})
}

deny contains "anybody may pull images" if lib.any_true("anonymous_pull_enabled")
