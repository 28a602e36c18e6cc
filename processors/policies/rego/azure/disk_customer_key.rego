# METADATA
# title: Disks encrypt with a key of yours
# custom:
#   id: azure-disk-customer-key
#   severity: low
#   remediation: "Set disk_encryption_set_id."
#   resource_types:
#     - azurerm_managed_disk
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.azure.disk_customer_key

import data.weir.lib

deny contains "the disk is encrypted with a key of the platform" if {
	not lib.present("disk_encryption_set_id")
	not lib.present("secure_vm_disk_encryption_set_id")
}
