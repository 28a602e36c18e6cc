# METADATA
# title: Application gateways stand behind a firewall
# custom:
#   id: azure-application-gateway-waf
#   severity: medium
#   remediation: "Set waf_configuration.enabled to true, or firewall_policy_id."
#   resource_types:
#     - azurerm_application_gateway
#   decides:
#     - waf_configuration.enabled
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.application_gateway_waf

import data.weir.lib

deny contains "no web application firewall is on" if {
	not lib.any_true("waf_configuration.enabled")
	not lib.present("firewall_policy_id")
}
