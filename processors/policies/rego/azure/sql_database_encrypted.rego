# METADATA
# title: SQL databases are encrypted
# custom:
#   id: azure-sql-database-encrypted
#   severity: high
#   remediation: "Set transparent_data_encryption_enabled to true."
#   resource_types:
#     - azurerm_mssql_database
#   decides:
#     - transparent_data_encryption_enabled
#   denies: present
#   controls:
#     CIS-Azure-3.0: ["5.1.5"]
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.azure.sql_database_encrypted

import data.weir.lib

deny contains "the database is not encrypted" if {
	some value in lib.values("transparent_data_encryption_enabled")
	value == false
}
