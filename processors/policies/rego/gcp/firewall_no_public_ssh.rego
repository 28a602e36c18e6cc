# METADATA
# title: SSH is not open to the internet
# custom:
#   id: gcp-firewall-no-public-ssh
#   severity: critical
#   remediation: "Name the networks that administer, or use Identity-Aware Proxy."
#   resource_types:
#     - google_compute_firewall
#   decides:
#     - source_ranges
#     - allow.ports
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4"]
#     CIS-GCP-3.0: ["3.6"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.gcp.firewall_no_public_ssh

import data.weir.lib

deny contains "SSH (port 22) is open to the internet" if lib.google_open(22)
