# METADATA
# title: Database servers are not on public networks
# custom:
#   id: azure-database-not-public
#   severity: high
#   remediation: "Set public_network_access_enabled to false and use private endpoints."
#   resource_types:
#     - azurerm_mssql_server
#     - azurerm_postgresql_server
#     - azurerm_mysql_server
#     - azurerm_mariadb_server
#     - azurerm_postgresql_flexible_server
#     - azurerm_cosmosdb_account
#     - azurerm_redis_cache
#   decides:
#     - public_network_access_enabled
#   controls:
#     CIS-Azure-3.0: ["5.1.7"]
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.azure.database_not_public

import data.weir.lib

deny contains "the server is on public networks" if {
	not lib.any_in("public_network_access_enabled", {false})
	not lib.present("delegated_subnet_id")
}
