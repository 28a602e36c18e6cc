# METADATA
# title: Alerts of security reach a person
# custom:
#   id: azure-security-contact
#   severity: low
#   remediation: "Set alert_notifications and alerts_to_admins to true."
#   resource_types:
#     - azurerm_security_center_contact
#   decides:
#     - alert_notifications
#     - alerts_to_admins
#   controls:
#     CIS-Azure-3.0: ["2.1.18"]
#     CIS-Controls-8: ["13.1"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(1)(ii)(D)"]
#     NIST-800-53r5: ["SI-4"]
#     PCI-DSS-4.0: ["10.4.1"]
#     SOC2: ["CC7.2", "CC7.3"]
package weir.azure.security_contact

import data.weir.lib

deny contains sprintf("%s is not true", [name]) if {
	some name in {"alert_notifications", "alerts_to_admins"}
	not lib.all_true(name)
}
