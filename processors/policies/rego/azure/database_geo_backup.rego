# METADATA
# title: Backups of databases stand in another region
# custom:
#   id: azure-database-geo-backup
#   severity: low
#   remediation: "Set geo_redundant_backup_enabled to true."
#   resource_types:
#     - azurerm_postgresql_server
#     - azurerm_mysql_server
#     - azurerm_mariadb_server
#     - azurerm_postgresql_flexible_server
#     - azurerm_mysql_flexible_server
#   decides:
#     - geo_redundant_backup_enabled
#   controls:
#     CIS-Controls-8: ["11.2"]
#     GDPR: ["Art.32(1)(c)"]
#     HIPAA: ["164.308(a)(7)(ii)(A)"]
#     NIST-800-53r5: ["CP-9"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.azure.database_geo_backup

import data.weir.lib

deny contains "backups stand in one region" if not lib.all_true("geo_redundant_backup_enabled")
