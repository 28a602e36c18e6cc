# METADATA
# title: SQL servers have an administrator of the directory
# custom:
#   id: azure-sql-directory-admin
#   severity: medium
#   remediation: "Add azuread_administrator."
#   resource_types:
#     - azurerm_mssql_server
#     - azurerm_sql_server
#   controls:
#     CIS-Azure-3.0: ["5.1.4"]
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.azure.sql_directory_admin

import data.weir.lib

deny contains "no administrator is of the directory" if {
	count(lib.blocks("azuread_administrator")) == 0
	count(lib.related("azurerm_sql_active_directory_administrator", "server_name")) == 0
}
