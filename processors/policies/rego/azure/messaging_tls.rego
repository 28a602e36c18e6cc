# METADATA
# title: Service Bus and Event Hubs refuse TLS before 1.2
# custom:
#   id: azure-messaging-tls
#   severity: medium
#   remediation: "Set minimum_tls_version to 1.2."
#   resource_types:
#     - azurerm_servicebus_namespace
#     - azurerm_eventhub_namespace
#   decides:
#     - minimum_tls_version
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.messaging_tls

import data.weir.lib

deny contains "TLS before 1.2 is accepted" if {
	some value in lib.values("minimum_tls_version")
	not value in {"1.2"}
}
