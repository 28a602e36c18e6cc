# METADATA
# title: Apps are not debugged remotely
# custom:
#   id: azure-app-no-remote-debugging
#   severity: medium
#   remediation: "Set site_config.remote_debugging_enabled to false."
#   resource_types:
#     - azurerm_linux_web_app
#     - azurerm_windows_web_app
#     - azurerm_app_service
#     - azurerm_linux_function_app
#     - azurerm_windows_function_app
#     - azurerm_function_app
#   decides:
#     - site_config.remote_debugging_enabled
#   denies: present
#   controls:
#     CIS-Azure-3.0: ["9.12"]
#     CIS-Controls-8: ["4.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.azure.app_no_remote_debugging

import data.weir.lib

deny contains "remote debugging is on" if lib.any_true("site_config.remote_debugging_enabled")
