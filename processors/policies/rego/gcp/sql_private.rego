# METADATA
# title: Cloud SQL has no public address
# custom:
#   id: gcp-sql-private
#   severity: high
#   remediation: "Set settings.ip_configuration.ipv4_enabled to false."
#   resource_types:
#     - google_sql_database_instance
#   decides:
#     - settings.ip_configuration.ipv4_enabled
#   controls:
#     CIS-Controls-8: ["3.3"]
#     CIS-GCP-3.0: ["6.6"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.gcp.sql_private

import data.weir.lib

deny contains "the instance has a public address" if {
	not lib.any_in("settings.ip_configuration.ipv4_enabled", {false})
}
