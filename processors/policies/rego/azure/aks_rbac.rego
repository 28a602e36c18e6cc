# METADATA
# title: AKS authorises by roles
# custom:
#   id: azure-aks-rbac
#   severity: high
#   remediation: "Set role_based_access_control_enabled to true."
#   resource_types:
#     - azurerm_kubernetes_cluster
#   decides:
#     - role_based_access_control_enabled
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.azure.aks_rbac

import data.weir.lib

deny contains "authorisation by roles is off" if {
	some path in {"role_based_access_control_enabled", "role_based_access_control.enabled"}
	some value in lib.values(path)
	value == false
}
