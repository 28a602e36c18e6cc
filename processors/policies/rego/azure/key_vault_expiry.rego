# METADATA
# title: Keys and secrets of vaults expire
# custom:
#   id: azure-key-vault-expiry
#   severity: low
#   remediation: "Set expiration_date."
#   resource_types:
#     - azurerm_key_vault_key
#     - azurerm_key_vault_secret
#   controls:
#     CIS-Azure-3.0: ["3.3.1", "3.3.3"]
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.azure.key_vault_expiry

import data.weir.lib

deny contains "it never expires" if not lib.present("expiration_date")
