# METADATA
# title: Storage accounts encrypt twice
# custom:
#   id: azure-storage-infrastructure-encryption
#   severity: low
#   remediation: "Set infrastructure_encryption_enabled to true."
#   resource_types:
#     - azurerm_storage_account
#   decides:
#     - infrastructure_encryption_enabled
#   controls:
#     CIS-Azure-3.0: ["4.2"]
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.azure.storage_infrastructure_encryption

import data.weir.lib

deny contains "data is encrypted once" if not lib.all_true("infrastructure_encryption_enabled")
