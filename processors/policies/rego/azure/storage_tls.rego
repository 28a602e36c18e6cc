# METADATA
# title: Storage accounts refuse TLS before 1.2
# custom:
#   id: azure-storage-tls
#   severity: medium
#   remediation: "Set min_tls_version to TLS1_2."
#   resource_types:
#     - azurerm_storage_account
#   decides:
#     - min_tls_version
#   denies: present
#   controls:
#     CIS-Azure-3.0: ["4.15"]
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.azure.storage_tls

import data.weir.lib

deny contains "TLS before 1.2 is accepted" if {
	some value in lib.values("min_tls_version")
	not value in {"TLS1_2", "TLS1_3"}
}
