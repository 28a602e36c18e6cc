# METADATA
# title: Instances have no public address
# custom:
#   id: gcp-instance-no-public-address
#   severity: medium
#   remediation: "Leave access_config out and use Cloud NAT."
#   resource_types:
#     - google_compute_instance
#     - google_compute_instance_template
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4"]
#     CIS-GCP-3.0: ["4.9"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.instance_no_public_address

import data.weir.lib

deny contains "the instance has a public address" if {
	some block in lib.blocks("network_interface")
	some name in {"access_config", "ipv6_access_config"}
	count(lib.items(object.get(block, name, null))) > 0
}
