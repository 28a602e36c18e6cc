# METADATA
# title: Storage accounts ask for HTTPS
# custom:
#   id: azure-storage-https
#   severity: high
#   remediation: "Set https_traffic_only_enabled to true."
#   resource_types:
#     - azurerm_storage_account
#   decides:
#     - https_traffic_only_enabled
#     - enable_https_traffic_only
#   denies: present
#   controls:
#     CIS-Azure-3.0: ["4.1"]
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.storage_https

import data.weir.lib

deny contains "HTTP is accepted" if {
	some name in {"https_traffic_only_enabled", "enable_https_traffic_only"}
	some value in lib.values(name)
	value == false
}
