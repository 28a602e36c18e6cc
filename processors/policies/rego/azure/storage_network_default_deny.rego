# METADATA
# title: Storage accounts refuse networks that are not named
# custom:
#   id: azure-storage-network-default-deny
#   severity: high
#   remediation: "Set network_rules.default_action to Deny."
#   resource_types:
#     - azurerm_storage_account
#     - azurerm_storage_account_network_rules
#   decides:
#     - network_rules.default_action
#     - default_action
#   controls:
#     CIS-Azure-3.0: ["4.6"]
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.storage_network_default_deny

import data.weir.lib

deny contains "every network is allowed" if {
	not denies
	not lib.any_in("public_network_access_enabled", {false})
}

denies if lib.any_in("network_rules.default_action", {"Deny"})

denies if lib.any_in("default_action", {"Deny"})

denies if {
	some other in lib.related("azurerm_storage_account_network_rules", "storage_account_id")
	other.config.default_action == "Deny"
}
