# METADATA
# title: Nobody is made owner of a subscription
# custom:
#   id: azure-role-no-subscription-owner
#   severity: high
#   remediation: "Assign a role with the actions that are needed, on a resource group."
#   resource_types:
#     - azurerm_role_assignment
#   decides:
#     - scope
#     - role_definition_name
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.azure.role_no_subscription_owner

import data.weir.lib

deny contains sprintf("%s is assigned on a subscription", [role]) if {
	role := lib.value("role_definition_name", "")
	role in {"Owner", "User Access Administrator", "Contributor"}
	regex.match(`^(/subscriptions/[^/]+|/providers/Microsoft.Management/managementGroups/[^/]+|/)$`, lib.value("scope", ""))
}
