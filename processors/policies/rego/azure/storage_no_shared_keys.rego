# METADATA
# title: Storage accounts take identities, not shared keys
# custom:
#   id: azure-storage-no-shared-keys
#   severity: low
#   remediation: "Set shared_access_key_enabled to false."
#   resource_types:
#     - azurerm_storage_account
#   decides:
#     - shared_access_key_enabled
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.azure.storage_no_shared_keys

import data.weir.lib

deny contains "shared keys are accepted" if not lib.any_in("shared_access_key_enabled", {false})
