# METADATA
# title: Zones are not signed with SHA-1
# custom:
#   id: gcp-dnssec-algorithm
#   severity: low
#   remediation: "Set default_key_specs.algorithm to ecdsap256sha256."
#   resource_types:
#     - google_dns_managed_zone
#   decides:
#     - dnssec_config.default_key_specs.algorithm
#   denies: present
#   controls:
#     CIS-Controls-8: ["8.9"]
#     CIS-GCP-3.0: ["3.4", "3.5"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(c)(1)"]
#     NIST-800-53r5: ["AU-9", "SI-7"]
#     PCI-DSS-4.0: ["10.3.2", "10.3.4"]
#     SOC2: ["CC7.2"]
package weir.gcp.dnssec_algorithm

import data.weir.lib

deny contains "the zone is signed with SHA-1" if {
	lib.any_in("dnssec_config.default_key_specs.algorithm", {"rsasha1"})
}
