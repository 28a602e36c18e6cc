# METADATA
# title: Firewalls of databases name networks
# custom:
#   id: azure-database-firewall-narrow
#   severity: critical
#   remediation: "Name the first and last address of the networks that need access."
#   resource_types:
#     - azurerm_mssql_firewall_rule
#     - azurerm_sql_firewall_rule
#     - azurerm_postgresql_firewall_rule
#     - azurerm_mysql_firewall_rule
#     - azurerm_mariadb_firewall_rule
#     - azurerm_postgresql_flexible_server_firewall_rule
#     - azurerm_mysql_flexible_server_firewall_rule
#     - azurerm_redis_firewall_rule
#   decides:
#     - start_ip_address
#     - end_ip_address
#   denies: present
#   controls:
#     CIS-Azure-3.0: ["5.1.2"]
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.database_firewall_narrow

deny contains "every address is allowed" if {
	first := object.get(input.config, "start_ip_address", object.get(input.config, "start_ip", ""))
	last := object.get(input.config, "end_ip_address", object.get(input.config, "end_ip", ""))
	first in {"0.0.0.0", "0.0.0.1", "1.0.0.0", "1.1.1.1"}
	last == "255.255.255.255"
}

deny contains "every service of Azure is allowed, of all customers" if {
	some path in {"start_ip_address", "start_ip"}
	input.config[path] == "0.0.0.0"
	some end in {"end_ip_address", "end_ip"}
	input.config[end] == "0.0.0.0"
}
