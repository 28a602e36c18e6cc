# METADATA
# title: Cosmos accounts take identities, not keys
# custom:
#   id: azure-cosmos-no-local-keys
#   severity: low
#   remediation: "Set local_authentication_disabled to true."
#   resource_types:
#     - azurerm_cosmosdb_account
#   decides:
#     - local_authentication_disabled
#   controls:
#     CIS-Azure-3.0: ["5.4.3"]
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.azure.cosmos_no_local_keys

import data.weir.lib

deny contains "keys are accepted" if not lib.all_true("local_authentication_disabled")
