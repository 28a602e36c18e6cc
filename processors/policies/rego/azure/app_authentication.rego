# METADATA
# title: Apps authenticate visitors
# custom:
#   id: azure-app-authentication
#   severity: low
#   remediation: "Add auth_settings_v2 with auth_enabled true."
#   resource_types:
#     - azurerm_linux_web_app
#     - azurerm_windows_web_app
#     - azurerm_app_service
#     - azurerm_linux_function_app
#     - azurerm_windows_function_app
#     - azurerm_function_app
#   decides:
#     - auth_settings.enabled
#   controls:
#     CIS-Azure-3.0: ["9.1"]
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.azure.app_authentication

import data.weir.lib

deny contains "visitors are not authenticated" if {
	not lib.any_true("auth_settings.enabled")
	not lib.any_true("auth_settings_v2.auth_enabled")
}
