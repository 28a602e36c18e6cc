# METADATA
# title: Nodes of GKE have a service account of their own
# custom:
#   id: gcp-gke-node-account
#   severity: medium
#   remediation: "Set node_config.service_account."
#   resource_types:
#     - google_container_node_pool
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.gcp.gke_node_account

import data.weir.lib

deny contains "nodes use the default service account" if {
	not lib.present("node_config.service_account")
}

deny contains "nodes use the default service account" if {
	lib.any_in("node_config.service_account", {"default"})
}
