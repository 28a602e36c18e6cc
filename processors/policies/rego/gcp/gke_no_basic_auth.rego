# METADATA
# title: GKE issues no passwords and client certificates
# custom:
#   id: gcp-gke-no-basic-auth
#   severity: high
#   remediation: "Set master_auth.client_certificate_config.issue_client_certificate to false."
#   resource_types:
#     - google_container_cluster
#   decides:
#     - master_auth.client_certificate_config.issue_client_certificate
#   denies: present
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.gcp.gke_no_basic_auth

import data.weir.lib

deny contains "a client certificate is issued" if {
	lib.any_true("master_auth.client_certificate_config.issue_client_certificate")
}

deny contains "a password is set" if {
	some value in lib.values("master_auth.username")
	value != ""
}
