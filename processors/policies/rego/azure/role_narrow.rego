# METADATA
# title: Custom roles do not allow every action
# custom:
#   id: azure-role-narrow
#   severity: high
#   remediation: "List the actions that are needed."
#   resource_types:
#     - azurerm_role_definition
#   decides:
#     - permissions.actions
#   denies: present
#   controls:
#     CIS-Azure-3.0: ["2.23"]
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.azure.role_narrow

import data.weir.lib

deny contains "the role allows every action" if "*" in lib.values("permissions.actions")
