# METADATA
# title: Users of Cloud SQL connect from named hosts
# custom:
#   id: gcp-sql-no-public-root
#   severity: medium
#   remediation: "Name the host, or use IAM authentication."
#   resource_types:
#     - google_sql_user
#   decides:
#     - host
#   denies: present
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.gcp.sql_no_public_root

import data.weir.lib

deny contains "the administrator may connect from every host" if {
	lib.any_in("name", {"root", "admin"})
	lib.any_in("host", {"%", ""})
}
