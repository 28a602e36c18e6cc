# METADATA
# title: AKS enforces network policies
# custom:
#   id: azure-aks-network-policy
#   severity: medium
#   remediation: "Set network_profile.network_policy."
#   resource_types:
#     - azurerm_kubernetes_cluster
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.aks_network_policy

import data.weir.lib

deny contains "no network policy is enforced" if not lib.present("network_profile.network_policy")
