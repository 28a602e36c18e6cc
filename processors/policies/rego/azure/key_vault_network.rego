# METADATA
# title: Key vaults refuse networks that are not named
# custom:
#   id: azure-key-vault-network
#   severity: high
#   remediation: "Set network_acls.default_action to Deny."
#   resource_types:
#     - azurerm_key_vault
#   decides:
#     - network_acls.default_action
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.key_vault_network

import data.weir.lib

deny contains "every network is allowed" if {
	not lib.any_in("network_acls.default_action", {"Deny"})
	not lib.any_in("public_network_access_enabled", {false})
}
