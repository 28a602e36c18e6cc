# METADATA
# title: Deleted blobs are kept a week or more
# custom:
#   id: azure-storage-soft-delete
#   severity: low
#   remediation: "Set blob_properties.delete_retention_policy.days to 7 or more."
#   resource_types:
#     - azurerm_storage_account
#   decides:
#     - blob_properties.delete_retention_policy.days
#   controls:
#     CIS-Azure-3.0: ["4.11"]
#     CIS-Controls-8: ["11.2"]
#     GDPR: ["Art.32(1)(c)"]
#     HIPAA: ["164.308(a)(7)(ii)(A)"]
#     NIST-800-53r5: ["CP-9"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.azure.storage_soft_delete

import data.weir.lib

deny contains "deleted blobs are kept for less than 7 days" if {
	lib.number("blob_properties.delete_retention_policy.days", 0) < 7
}
