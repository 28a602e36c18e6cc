# METADATA
# title: Redis refuses TLS before 1.2
# custom:
#   id: azure-redis-tls-version
#   severity: medium
#   remediation: "Set minimum_tls_version to 1.2."
#   resource_types:
#     - azurerm_redis_cache
#   decides:
#     - minimum_tls_version
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.redis_tls_version

import data.weir.lib

deny contains "TLS before 1.2 is accepted" if not lib.all_in("minimum_tls_version", {"1.2"})
