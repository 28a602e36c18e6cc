# METADATA
# title: Linux machines take keys, not passwords
# custom:
#   id: azure-vm-no-passwords
#   severity: high
#   remediation: "Set disable_password_authentication to true."
#   resource_types:
#     - azurerm_linux_virtual_machine
#     - azurerm_linux_virtual_machine_scale_set
#   decides:
#     - disable_password_authentication
#   denies: present
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.azure.vm_no_passwords

import data.weir.lib

deny contains "passwords are accepted" if {
	some value in lib.values("disable_password_authentication")
	value == false
}
