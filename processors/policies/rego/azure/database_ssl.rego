# METADATA
# title: Database servers ask for TLS
# custom:
#   id: azure-database-ssl
#   severity: high
#   remediation: "Set ssl_enforcement_enabled to true."
#   resource_types:
#     - azurerm_postgresql_server
#     - azurerm_mysql_server
#     - azurerm_mariadb_server
#   decides:
#     - ssl_enforcement_enabled
#   controls:
#     CIS-Azure-3.0: ["5.2.1"]
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.database_ssl

import data.weir.lib

deny contains "connections without TLS are accepted" if not lib.all_true("ssl_enforcement_enabled")
