# METADATA
# title: PostgreSQL logs connections and checkpoints
# custom:
#   id: azure-postgresql-logs
#   severity: low
#   remediation: "Set log_checkpoints, log_connections, log_disconnections and connection_throttling to ON."
#   resource_types:
#     - azurerm_postgresql_configuration
#     - azurerm_postgresql_flexible_server_configuration
#   decides:
#     - value
#   controls:
#     CIS-Azure-3.0: ["5.2.2", "5.2.3"]
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.azure.postgresql_logs

import data.weir.lib

deny contains sprintf("%s is off", [lib.value("name", "")]) if {
	lib.value("name", "") in {
		"log_checkpoints", "log_connections", "log_disconnections",
		"connection_throttling", "connection_throttle.enable", "require_secure_transport",
	}
	not lib.all_true("value")
}
