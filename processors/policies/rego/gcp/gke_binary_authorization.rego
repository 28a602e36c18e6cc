# METADATA
# title: GKE admits verified images
# custom:
#   id: gcp-gke-binary-authorization
#   severity: low
#   remediation: "Set binary_authorization.evaluation_mode."
#   resource_types:
#     - google_container_cluster
#   decides:
#     - binary_authorization.evaluation_mode
#   controls:
#     CIS-Controls-8: ["16.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(8)"]
#     NIST-800-53r5: ["CM-3", "SA-11", "SI-7"]
#     PCI-DSS-4.0: ["6.2.3", "6.5.1"]
#     SOC2: ["CC8.1"]
package weir.gcp.gke_binary_authorization

import data.weir.lib

deny contains "images are not verified" if {
	not lib.any_in("binary_authorization.evaluation_mode", {"PROJECT_SINGLETON_POLICY_ENFORCE", "POLICY_BINDINGS"})
	not lib.any_true("enable_binary_authorization")
}
