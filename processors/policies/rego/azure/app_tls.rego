# METADATA
# title: Apps refuse TLS before 1.2
# custom:
#   id: azure-app-tls
#   severity: medium
#   remediation: "Set site_config.minimum_tls_version to 1.2."
#   resource_types:
#     - azurerm_linux_web_app
#     - azurerm_windows_web_app
#     - azurerm_app_service
#     - azurerm_linux_function_app
#     - azurerm_windows_function_app
#     - azurerm_function_app
#   decides:
#     - site_config.minimum_tls_version
#   denies: present
#   controls:
#     CIS-Azure-3.0: ["9.3"]
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.app_tls

import data.weir.lib

deny contains "TLS before 1.2 is accepted" if {
	some path in {"site_config.minimum_tls_version", "site_config.min_tls_version"}
	some version in lib.values(path)
	not version in {"1.2", "1.3"}
}
