# METADATA
# title: Cloud SQL is backed up
# custom:
#   id: gcp-sql-backup
#   severity: medium
#   remediation: "Set settings.backup_configuration.enabled to true."
#   resource_types:
#     - google_sql_database_instance
#   decides:
#     - settings.backup_configuration.enabled
#   controls:
#     CIS-Controls-8: ["11.2"]
#     CIS-GCP-3.0: ["6.7"]
#     GDPR: ["Art.32(1)(c)"]
#     HIPAA: ["164.308(a)(7)(ii)(A)"]
#     NIST-800-53r5: ["CP-9"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.gcp.sql_backup

import data.weir.lib

deny contains "the instance is not backed up" if {
	not lib.all_true("settings.backup_configuration.enabled")
}
