# METADATA
# title: Flags of Cloud SQL are safe
# custom:
#   id: gcp-sql-flags
#   severity: medium
#   remediation: "Set the flag as the reason says."
#   resource_types:
#     - google_sql_database_instance
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.1"]
#     CIS-GCP-3.0: ["6.1.3", "6.2.2"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.gcp.sql_flags

import data.weir.lib

deny contains sprintf("the flag %s is %s", [flag.name, flag.value]) if {
	some flag in lib.values("settings.database_flags")
	lower(flag.value) in refused[flag.name]
}

refused := {
	"local_infile": {"on"}, "skip_show_database": {"off"}, "log_connections": {"off"}, "log_disconnections": {"off"},
	"log_checkpoints": {"off"}, "log_lock_waits": {"off"}, "cross db ownership chaining": {"on"},
	"contained database authentication": {"on"}, "external scripts enabled": {"on"}, "remote access": {"on"},
	"3625": {"off"}, "cloudsql.enable_pgaudit": {"off"},
}
