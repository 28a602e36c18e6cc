# METADATA
# title: Flexible servers ask for TLS
# custom:
#   id: azure-flexible-server-tls
#   severity: high
#   remediation: "Set require_secure_transport to ON, and ssl_min_protocol_version or tls_version to TLSv1.2 or later."
#   resource_types:
#     - azurerm_postgresql_flexible_server_configuration
#     - azurerm_mysql_flexible_server_configuration
#   decides:
#     - value
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.flexible_server_tls

import data.weir.lib

deny contains "connections without TLS are accepted" if {
	lib.any_in("name", {"require_secure_transport"})
	some value in lib.values("value")
	lower(value) in {"off", "0", "false"}
}

deny contains "TLS before 1.2 is accepted" if {
	lib.any_in("name", {"ssl_min_protocol_version", "tls_version"})
	some value in lib.values("value")
	some version in split(value, ",")
	trim_space(version) in {"TLSv1", "TLSv1.0", "TLSv1.1"}
}
