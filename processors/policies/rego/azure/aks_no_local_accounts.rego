# METADATA
# title: AKS has no local accounts
# custom:
#   id: azure-aks-no-local-accounts
#   severity: medium
#   remediation: "Set local_account_disabled to true."
#   resource_types:
#     - azurerm_kubernetes_cluster
#   decides:
#     - local_account_disabled
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.azure.aks_no_local_accounts

import data.weir.lib

deny contains "local accounts pass by the directory" if not lib.all_true("local_account_disabled")
