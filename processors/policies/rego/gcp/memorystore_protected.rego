# METADATA
# title: Memorystore asks for passwords and encrypts traffic
# custom:
#   id: gcp-memorystore-protected
#   severity: medium
#   remediation: "Set auth_enabled to true and transit_encryption_mode to SERVER_AUTHENTICATION."
#   resource_types:
#     - google_redis_instance
#   decides:
#     - auth_enabled
#     - transit_encryption_mode
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.gcp.memorystore_protected

import data.weir.lib

deny contains "anybody in the network may read" if not lib.all_true("auth_enabled")

deny contains "traffic is not encrypted" if {
	not lib.all_in("transit_encryption_mode", {"SERVER_AUTHENTICATION"})
}
