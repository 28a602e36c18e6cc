# METADATA
# title: Containers of storage are private
# custom:
#   id: azure-storage-container-private
#   severity: critical
#   remediation: "Set container_access_type to private."
#   resource_types:
#     - azurerm_storage_container
#   decides:
#     - container_access_type
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.azure.storage_container_private

import data.weir.lib

deny contains "anybody may read the container" if {
	lib.any_in("container_access_type", {"blob", "container"})
}
