# METADATA
# title: Instances are shielded
# custom:
#   id: gcp-instance-shielded
#   severity: low
#   remediation: "Set shielded_instance_config.enable_vtpm and enable_integrity_monitoring to true."
#   resource_types:
#     - google_compute_instance
#     - google_compute_instance_template
#   decides:
#     - shielded_instance_config.enable_vtpm
#   controls:
#     CIS-Controls-8: ["4.1"]
#     CIS-GCP-3.0: ["4.8"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.gcp.instance_shielded

import data.weir.lib

deny contains "the instance is not shielded" if count(lib.blocks("shielded_instance_config")) == 0

deny contains sprintf("%s is false", [name]) if {
	some name in {"enable_vtpm", "enable_integrity_monitoring"}
	some block in lib.blocks("shielded_instance_config")
	block[name] == false
}
