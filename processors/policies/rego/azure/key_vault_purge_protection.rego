# METADATA
# title: Key vaults are protected from purging
# custom:
#   id: azure-key-vault-purge-protection
#   severity: medium
#   remediation: "Set purge_protection_enabled to true."
#   resource_types:
#     - azurerm_key_vault
#   decides:
#     - purge_protection_enabled
#   controls:
#     CIS-Azure-3.0: ["3.3.5"]
#     CIS-Controls-8: ["11.1"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(7)(i)"]
#     NIST-800-53r5: ["CP-10", "SC-5"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.azure.key_vault_purge_protection

import data.weir.lib

deny contains "keys can be destroyed for good" if not lib.all_true("purge_protection_enabled")
