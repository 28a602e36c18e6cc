# METADATA
# title: Projects use OS Login
# custom:
#   id: gcp-project-os-login
#   severity: medium
#   remediation: "Set enable-oslogin to TRUE."
#   resource_types:
#     - google_compute_project_metadata
#     - google_compute_project_metadata_item
#   decides:
#     - metadata
#     - value
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     CIS-GCP-3.0: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.gcp.project_os_login

import data.weir.lib

applies if input.resource.type == "google_compute_project_metadata"

applies if input.config.key == "enable-oslogin"

deny contains "OS Login is off" if not on

on if {
	some block in lib.values("metadata")
	lower(sprintf("%v", [block["enable-oslogin"]])) == "true"
}

on if {
	input.config.key == "enable-oslogin"
	lower(sprintf("%v", [input.config.value])) == "true"
}
