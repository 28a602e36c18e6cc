# METADATA
# title: Databases are not open to the internet
# custom:
#   id: azure-network-no-public-database
#   severity: critical
#   remediation: "Name the networks of the application."
#   resource_types:
#     - azurerm_network_security_group
#     - azurerm_network_security_rule
#   decides:
#     - security_rule.source_address_prefix
#     - source_address_prefix
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.network_no_public_database

import data.weir.lib

deny contains sprintf("port %d is open to the internet", [port]) if {
	some port in {1433, 1521, 3306, 5432, 6379, 9200, 27017}
	lib.azure_open(port)
}
