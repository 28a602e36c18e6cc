# METADATA
# title: Nodes of GKE are repaired and upgraded
# custom:
#   id: gcp-gke-node-upkeep
#   severity: low
#   remediation: "Set management.auto_repair and management.auto_upgrade to true."
#   resource_types:
#     - google_container_node_pool
#   decides:
#     - management.auto_repair
#     - management.auto_upgrade
#   controls:
#     CIS-Controls-8: ["7.3", "7.4"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(5)(ii)(B)"]
#     NIST-800-53r5: ["RA-5", "SI-2"]
#     PCI-DSS-4.0: ["6.3.3"]
#     SOC2: ["CC7.1"]
package weir.gcp.gke_node_upkeep

import data.weir.lib

deny contains sprintf("%s is not true", [name]) if {
	some name in {"auto_repair", "auto_upgrade"}
	not lib.all_true(concat(".", ["management", name]))
}
