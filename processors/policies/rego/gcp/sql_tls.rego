# METADATA
# title: Cloud SQL asks for TLS
# custom:
#   id: gcp-sql-tls
#   severity: high
#   remediation: "Set settings.ip_configuration.ssl_mode to ENCRYPTED_ONLY."
#   resource_types:
#     - google_sql_database_instance
#   decides:
#     - settings.ip_configuration.require_ssl
#     - settings.ip_configuration.ssl_mode
#   controls:
#     CIS-Controls-8: ["3.10"]
#     CIS-GCP-3.0: ["6.4"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.gcp.sql_tls

import data.weir.lib

deny contains "connections without TLS are accepted" if {
	not lib.any_true("settings.ip_configuration.require_ssl")
	not lib.any_in("settings.ip_configuration.ssl_mode", {"ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"})
}
