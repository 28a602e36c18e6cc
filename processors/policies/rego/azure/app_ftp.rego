# METADATA
# title: Apps are not deployed over FTP
# custom:
#   id: azure-app-ftp
#   severity: medium
#   remediation: "Set site_config.ftps_state to FtpsOnly or Disabled."
#   resource_types:
#     - azurerm_linux_web_app
#     - azurerm_windows_web_app
#     - azurerm_app_service
#     - azurerm_linux_function_app
#     - azurerm_windows_function_app
#     - azurerm_function_app
#   decides:
#     - site_config.ftps_state
#   denies: present
#   controls:
#     CIS-Azure-3.0: ["9.10"]
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.app_ftp

import data.weir.lib

deny contains "files are transferred without encryption" if {
	lib.any_in("site_config.ftps_state", {"AllAllowed"})
}
