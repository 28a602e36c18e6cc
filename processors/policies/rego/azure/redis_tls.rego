# METADATA
# title: Redis refuses connections without TLS
# custom:
#   id: azure-redis-tls
#   severity: high
#   remediation: "Set non_ssl_port_enabled to false."
#   resource_types:
#     - azurerm_redis_cache
#   decides:
#     - non_ssl_port_enabled
#     - enable_non_ssl_port
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.redis_tls

import data.weir.lib

deny contains "connections without TLS are accepted" if {
	some path in {"non_ssl_port_enabled", "enable_non_ssl_port"}
	lib.any_true(path)
}
