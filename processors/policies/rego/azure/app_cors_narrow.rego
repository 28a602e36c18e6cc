# METADATA
# title: Apps name the origins that may call them
# custom:
#   id: azure-app-cors-narrow
#   severity: medium
#   remediation: "Name origins in site_config.cors.allowed_origins."
#   resource_types:
#     - azurerm_linux_web_app
#     - azurerm_windows_web_app
#     - azurerm_app_service
#     - azurerm_linux_function_app
#     - azurerm_windows_function_app
#     - azurerm_function_app
#   decides:
#     - site_config.cors.allowed_origins
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.azure.app_cors_narrow

import data.weir.lib

deny contains "every origin may call the app" if lib.any_in("site_config.cors.allowed_origins", {"*"})
