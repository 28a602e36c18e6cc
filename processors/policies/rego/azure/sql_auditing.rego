# METADATA
# title: SQL servers are audited
# custom:
#   id: azure-sql-auditing
#   severity: medium
#   remediation: "Add an azurerm_mssql_server_extended_auditing_policy."
#   resource_types:
#     - azurerm_mssql_server
#     - azurerm_sql_server
#   controls:
#     CIS-Azure-3.0: ["5.1.1"]
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.azure.sql_auditing

import data.weir.lib

deny contains "the server is not audited" if {
	count(lib.related("azurerm_mssql_server_extended_auditing_policy", "server_id")) == 0
	count(lib.blocks("extended_auditing_policy")) == 0
}
