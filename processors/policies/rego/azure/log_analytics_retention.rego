# METADATA
# title: Log Analytics keeps 90 days
# custom:
#   id: azure-log-analytics-retention
#   severity: low
#   remediation: "Set retention_in_days to 90 or more."
#   resource_types:
#     - azurerm_log_analytics_workspace
#   decides:
#     - retention_in_days
#   controls:
#     CIS-Controls-8: ["8.10"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.316(b)(2)(i)"]
#     NIST-800-53r5: ["AU-11"]
#     PCI-DSS-4.0: ["10.5.1"]
#     SOC2: ["CC7.2"]
package weir.azure.log_analytics_retention

import data.weir.lib

deny contains "logs are kept for less than 90 days" if lib.number("retention_in_days", 30) < 90
