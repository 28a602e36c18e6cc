# METADATA
# title: Workloads of GKE have identities
# custom:
#   id: gcp-gke-workload-identity
#   severity: medium
#   remediation: "Set workload_identity_config.workload_pool."
#   resource_types:
#     - google_container_cluster
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.gcp.gke_workload_identity

import data.weir.lib

deny contains "workloads share the identity of their node" if {
	not lib.present("workload_identity_config.workload_pool")
	not lib.present("workload_identity_config.identity_namespace")
	not lib.any_true("enable_autopilot")
}
