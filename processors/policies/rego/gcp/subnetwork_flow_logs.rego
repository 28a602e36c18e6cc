# METADATA
# title: Subnetworks log their traffic
# custom:
#   id: gcp-subnetwork-flow-logs
#   severity: medium
#   remediation: "Add log_config."
#   resource_types:
#     - google_compute_subnetwork
#   controls:
#     CIS-Controls-8: ["8.2"]
#     CIS-GCP-3.0: ["3.8"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.gcp.subnetwork_flow_logs

import data.weir.lib

applies if not lib.any_in("purpose", {"INTERNAL_HTTPS_LOAD_BALANCER", "REGIONAL_MANAGED_PROXY", "GLOBAL_MANAGED_PROXY"})

deny contains "traffic is not logged" if {
	count(lib.blocks("log_config")) == 0
	not lib.unknown("log_config")
}
