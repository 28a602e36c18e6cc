# METADATA
# title: GKE logs and is monitored
# custom:
#   id: gcp-gke-logging
#   severity: medium
#   remediation: "Leave logging_service and monitoring_service as they are."
#   resource_types:
#     - google_container_cluster
#   decides:
#     - logging_service
#   denies: present
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.gcp.gke_logging

import data.weir.lib

deny contains sprintf("%s is none", [name]) if {
	some name in {"logging_service", "monitoring_service"}
	lib.any_in(name, {"none"})
}
