# METADATA
# title: GKE does not authorise by attributes
# custom:
#   id: gcp-gke-no-legacy-authorisation
#   severity: high
#   remediation: "Set enable_legacy_abac to false."
#   resource_types:
#     - google_container_cluster
#   decides:
#     - enable_legacy_abac
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.gcp.gke_no_legacy_authorisation

import data.weir.lib

deny contains "authorisation by attributes is on" if lib.any_true("enable_legacy_abac")
