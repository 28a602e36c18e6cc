# METADATA
# title: Disks are not exported over public networks
# custom:
#   id: azure-disk-network-closed
#   severity: medium
#   remediation: "Set public_network_access_enabled to false, or network_access_policy to DenyAll."
#   resource_types:
#     - azurerm_managed_disk
#   decides:
#     - public_network_access_enabled
#     - network_access_policy
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.disk_network_closed

import data.weir.lib

deny contains "the disk may be exported over public networks" if {
	not lib.any_in("public_network_access_enabled", {false})
	not lib.any_in("network_access_policy", {"DenyAll", "AllowPrivate"})
}
