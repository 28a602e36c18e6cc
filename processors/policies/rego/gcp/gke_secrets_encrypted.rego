# METADATA
# title: GKE encrypts secrets with a key of yours
# custom:
#   id: gcp-gke-secrets-encrypted
#   severity: medium
#   remediation: "Set database_encryption.state to ENCRYPTED."
#   resource_types:
#     - google_container_cluster
#   decides:
#     - database_encryption.state
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.gcp.gke_secrets_encrypted

import data.weir.lib

deny contains "secrets are not encrypted with a key of yours" if {
	not lib.all_in("database_encryption.state", {"ENCRYPTED"})
}
