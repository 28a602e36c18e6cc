# METADATA
# title: Instances refuse keys of the project
# custom:
#   id: gcp-instance-no-project-keys
#   severity: low
#   remediation: "Set block-project-ssh-keys to true."
#   resource_types:
#     - google_compute_instance
#     - google_compute_instance_template
#   decides:
#     - metadata
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     CIS-GCP-3.0: ["4.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.gcp.instance_no_project_keys

import data.weir.lib

deny contains "keys of the project open the instance" if not blocked

blocked if {
	some block in lib.values("metadata")
	some name in {"block-project-ssh-keys", "enable-oslogin"}
	lower(sprintf("%v", [block[name]])) == "true"
}
