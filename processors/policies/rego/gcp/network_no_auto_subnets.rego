# METADATA
# title: Networks have no automatic subnetworks
# custom:
#   id: gcp-network-no-auto-subnets
#   severity: low
#   remediation: "Set auto_create_subnetworks to false."
#   resource_types:
#     - google_compute_network
#   decides:
#     - auto_create_subnetworks
#   controls:
#     CIS-Controls-8: ["4.4"]
#     CIS-GCP-3.0: ["3.2"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.network_no_auto_subnets

import data.weir.lib

deny contains "a subnetwork is made in every region" if {
	not lib.any_in("auto_create_subnetworks", {false})
}
