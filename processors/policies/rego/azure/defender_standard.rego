# METADATA
# title: Defender for Cloud is on
# custom:
#   id: azure-defender-standard
#   severity: medium
#   remediation: "Set tier to Standard."
#   resource_types:
#     - azurerm_security_center_subscription_pricing
#   decides:
#     - tier
#   controls:
#     CIS-Azure-3.0: ["2.1.1"]
#     CIS-Controls-8: ["13.1"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(1)(ii)(D)"]
#     NIST-800-53r5: ["SI-4"]
#     PCI-DSS-4.0: ["10.4.1"]
#     SOC2: ["CC7.2", "CC7.3"]
package weir.azure.defender_standard

import data.weir.lib

deny contains "Defender for Cloud is off" if not lib.all_in("tier", {"Standard"})
