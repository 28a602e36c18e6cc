# METADATA
# title: Flow logs are on and kept 90 days
# custom:
#   id: azure-flow-logs-retention
#   severity: low
#   remediation: "Set enabled to true and retention_policy.days to 90 or more."
#   resource_types:
#     - azurerm_network_watcher_flow_log
#   decides:
#     - retention_policy.days
#   controls:
#     CIS-Azure-3.0: ["6.5"]
#     CIS-Controls-8: ["8.10"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.316(b)(2)(i)"]
#     NIST-800-53r5: ["AU-11"]
#     PCI-DSS-4.0: ["10.5.1"]
#     SOC2: ["CC7.2"]
package weir.azure.flow_logs_retention

import data.weir.lib

deny contains "the flow log is off" if not lib.all_true("enabled")

deny contains "flow logs are kept for less than 90 days" if {
	days := lib.number("retention_policy.days", 0)
	days > 0
	days < 90
}

deny contains "flow logs have no retention" if not lib.any_true("retention_policy.enabled")
