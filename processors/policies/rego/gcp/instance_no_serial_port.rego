# METADATA
# title: Serial ports of instances are closed
# custom:
#   id: gcp-instance-no-serial-port
#   severity: medium
#   remediation: "Set serial-port-enable to false."
#   resource_types:
#     - google_compute_instance
#     - google_compute_instance_template
#     - google_compute_project_metadata
#     - google_compute_project_metadata_item
#   decides:
#     - metadata
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.1"]
#     CIS-GCP-3.0: ["4.5"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.gcp.instance_no_serial_port

import data.weir.lib

deny contains "the serial port is open" if {
	some block in lib.values("metadata")
	is_on(block["serial-port-enable"])
}

deny contains "the serial port is open" if {
	input.config.key == "serial-port-enable"
	is_on(input.config.value)
}

is_on(value) if lower(sprintf("%v", [value])) in {"true", "1"}
