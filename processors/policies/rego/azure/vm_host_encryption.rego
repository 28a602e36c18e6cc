# METADATA
# title: Machines encrypt on their host
# custom:
#   id: azure-vm-host-encryption
#   severity: medium
#   remediation: "Set encryption_at_host_enabled to true."
#   resource_types:
#     - azurerm_linux_virtual_machine
#     - azurerm_linux_virtual_machine_scale_set
#     - azurerm_windows_virtual_machine
#     - azurerm_windows_virtual_machine_scale_set
#   decides:
#     - encryption_at_host_enabled
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.azure.vm_host_encryption

import data.weir.lib

deny contains "caches and temporary disks are not encrypted" if {
	not lib.all_true("encryption_at_host_enabled")
}
