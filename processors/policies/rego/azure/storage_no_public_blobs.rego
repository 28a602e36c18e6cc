# METADATA
# title: Storage accounts hold no public blobs
# custom:
#   id: azure-storage-no-public-blobs
#   severity: high
#   remediation: "Set allow_nested_items_to_be_public to false."
#   resource_types:
#     - azurerm_storage_account
#   decides:
#     - allow_nested_items_to_be_public
#   controls:
#     CIS-Azure-3.0: ["4.17"]
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.azure.storage_no_public_blobs

import data.weir.lib

deny contains "containers may be opened to anybody" if {
	not lib.any_in("allow_nested_items_to_be_public", {false})
	not lib.any_in("allow_blob_public_access", {false})
}
