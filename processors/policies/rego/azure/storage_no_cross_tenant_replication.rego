# METADATA
# title: Storage accounts do not replicate to other tenants
# custom:
#   id: azure-storage-no-cross-tenant-replication
#   severity: medium
#   remediation: "Set cross_tenant_replication_enabled to false."
#   resource_types:
#     - azurerm_storage_account
#   decides:
#     - cross_tenant_replication_enabled
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-4"]
#     PCI-DSS-4.0: ["7.2.1"]
#     SOC2: ["CC6.1"]
package weir.azure.storage_no_cross_tenant_replication

import data.weir.lib

deny contains "objects may be replicated to another tenant" if lib.any_true("cross_tenant_replication_enabled")
