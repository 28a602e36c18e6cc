# METADATA
# title: Registries have no administrator account
# custom:
#   id: azure-registry-no-admin
#   severity: medium
#   remediation: "Set admin_enabled to false."
#   resource_types:
#     - azurerm_container_registry
#   decides:
#     - admin_enabled
#   denies: present
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.azure.registry_no_admin

import data.weir.lib

deny contains "the administrator account is on" if lib.any_true("admin_enabled")
