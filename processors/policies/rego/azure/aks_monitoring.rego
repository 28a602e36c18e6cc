# METADATA
# title: AKS reports to Log Analytics
# custom:
#   id: azure-aks-monitoring
#   severity: low
#   remediation: "Add oms_agent."
#   resource_types:
#     - azurerm_kubernetes_cluster
#   controls:
#     CIS-Controls-8: ["13.1"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(1)(ii)(D)"]
#     NIST-800-53r5: ["SI-4"]
#     PCI-DSS-4.0: ["10.4.1"]
#     SOC2: ["CC7.2", "CC7.3"]
package weir.azure.aks_monitoring

import data.weir.lib

deny contains "the cluster reports to no workspace" if {
	not lib.present("oms_agent.log_analytics_workspace_id")
	not lib.present("addon_profile.oms_agent.log_analytics_workspace_id")
}
