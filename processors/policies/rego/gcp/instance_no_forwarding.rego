# METADATA
# title: Instances do not forward packets
# custom:
#   id: gcp-instance-no-forwarding
#   severity: medium
#   remediation: "Set can_ip_forward to false."
#   resource_types:
#     - google_compute_instance
#     - google_compute_instance_template
#   decides:
#     - can_ip_forward
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4"]
#     CIS-GCP-3.0: ["4.6"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.instance_no_forwarding

import data.weir.lib

deny contains "the instance forwards packets" if lib.any_true("can_ip_forward")
