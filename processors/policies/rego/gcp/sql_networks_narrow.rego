# METADATA
# title: Cloud SQL names its networks
# custom:
#   id: gcp-sql-networks-narrow
#   severity: critical
#   remediation: "Name the networks, or use private addresses."
#   resource_types:
#     - google_sql_database_instance
#   decides:
#     - settings.ip_configuration.authorized_networks.value
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4"]
#     CIS-GCP-3.0: ["6.5"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.sql_networks_narrow

import data.weir.lib

deny contains "every address is allowed" if {
	some range in lib.values("settings.ip_configuration.authorized_networks.value")
	lib.is_anywhere(range)
}
