# METADATA
# title: Load balancers refuse TLS before 1.2
# custom:
#   id: gcp-ssl-policy
#   severity: medium
#   remediation: "Set min_tls_version to TLS_1_2 and profile to MODERN or RESTRICTED."
#   resource_types:
#     - google_compute_ssl_policy
#     - google_compute_region_ssl_policy
#   decides:
#     - min_tls_version
#   controls:
#     CIS-Controls-8: ["3.10"]
#     CIS-GCP-3.0: ["3.9"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.gcp.ssl_policy

import data.weir.lib

deny contains "TLS before 1.2 is accepted" if not lib.all_in("min_tls_version", {"TLS_1_2"})
