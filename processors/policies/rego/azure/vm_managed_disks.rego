# METADATA
# title: Machines have managed disks
# custom:
#   id: azure-vm-managed-disks
#   severity: medium
#   remediation: "Use managed_disk_type in place of vhd_uri."
#   resource_types:
#     - azurerm_virtual_machine
#   decides:
#     - storage_os_disk.vhd_uri
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.azure.vm_managed_disks

import data.weir.lib

deny contains "a disk is a blob of a storage account" if {
	some path in {"storage_os_disk.vhd_uri", "storage_data_disk.vhd_uri"}
	some value in lib.values(path)
	value != ""
}
