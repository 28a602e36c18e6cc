# METADATA
# title: AKS takes policies of Azure
# custom:
#   id: azure-aks-policy
#   severity: low
#   remediation: "Set azure_policy_enabled to true."
#   resource_types:
#     - azurerm_kubernetes_cluster
#   decides:
#     - azure_policy_enabled
#   controls:
#     CIS-Controls-8: ["4.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.azure.aks_policy

import data.weir.lib

deny contains "no policy of Azure is enforced" if not lib.all_true("azure_policy_enabled")
