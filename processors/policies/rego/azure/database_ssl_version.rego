# METADATA
# title: Database servers refuse TLS before 1.2
# custom:
#   id: azure-database-ssl-version
#   severity: medium
#   remediation: "Set ssl_minimal_tls_version_enforced to TLS1_2."
#   resource_types:
#     - azurerm_postgresql_server
#     - azurerm_mysql_server
#   decides:
#     - ssl_minimal_tls_version_enforced
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.database_ssl_version

import data.weir.lib

deny contains "TLS before 1.2 is accepted" if {
	not lib.all_in("ssl_minimal_tls_version_enforced", {"TLS1_2"})
}
