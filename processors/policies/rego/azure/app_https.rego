# METADATA
# title: Apps ask for HTTPS
# custom:
#   id: azure-app-https
#   severity: high
#   remediation: "Set https_only to true."
#   resource_types:
#     - azurerm_linux_web_app
#     - azurerm_windows_web_app
#     - azurerm_app_service
#     - azurerm_linux_function_app
#     - azurerm_windows_function_app
#     - azurerm_function_app
#   decides:
#     - https_only
#   controls:
#     CIS-Azure-3.0: ["9.2"]
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.app_https

import data.weir.lib

deny contains "HTTP is accepted" if not lib.all_true("https_only")
