# METADATA
# title: Zones are signed
# custom:
#   id: gcp-dnssec
#   severity: low
#   remediation: "Set dnssec_config.state to on."
#   resource_types:
#     - google_dns_managed_zone
#   decides:
#     - dnssec_config.state
#   controls:
#     CIS-Controls-8: ["8.9"]
#     CIS-GCP-3.0: ["3.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(c)(1)"]
#     NIST-800-53r5: ["AU-9", "SI-7"]
#     PCI-DSS-4.0: ["10.3.2", "10.3.4"]
#     SOC2: ["CC7.2"]
package weir.gcp.dnssec

import data.weir.lib

applies if lib.value("visibility", "public") == "public"

deny contains "the zone is not signed" if not lib.any_in("dnssec_config.state", {"on", "transfer"})
