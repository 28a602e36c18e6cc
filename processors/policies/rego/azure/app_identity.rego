# METADATA
# title: Apps have an identity of the directory
# custom:
#   id: azure-app-identity
#   severity: low
#   remediation: "Add identity."
#   resource_types:
#     - azurerm_linux_web_app
#     - azurerm_windows_web_app
#     - azurerm_app_service
#     - azurerm_linux_function_app
#     - azurerm_windows_function_app
#     - azurerm_function_app
#   controls:
#     CIS-Azure-3.0: ["9.5"]
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.azure.app_identity

import data.weir.lib

deny contains "the app has no identity of the directory" if not lib.present("identity.type")
