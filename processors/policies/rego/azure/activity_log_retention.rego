# METADATA
# title: Activity logs are kept a year
# custom:
#   id: azure-activity-log-retention
#   severity: low
#   remediation: "Set retention_policy.days to 365 or more, or 0 for ever."
#   resource_types:
#     - azurerm_monitor_log_profile
#   decides:
#     - retention_policy.days
#   controls:
#     CIS-Controls-8: ["8.10"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.316(b)(2)(i)"]
#     NIST-800-53r5: ["AU-11"]
#     PCI-DSS-4.0: ["10.5.1"]
#     SOC2: ["CC7.2"]
package weir.azure.activity_log_retention

import data.weir.lib

deny contains "activity logs are kept for less than a year" if {
	days := lib.number("retention_policy.days", 1)
	days > 0
	days < 365
}
