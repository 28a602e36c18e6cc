# METADATA
# title: Subnetworks reach Google privately
# custom:
#   id: gcp-subnetwork-private-access
#   severity: low
#   remediation: "Set private_ip_google_access to true."
#   resource_types:
#     - google_compute_subnetwork
#   decides:
#     - private_ip_google_access
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.subnetwork_private_access

import data.weir.lib

deny contains "services of Google are reached through the internet" if {
	not lib.all_true("private_ip_google_access")
}
