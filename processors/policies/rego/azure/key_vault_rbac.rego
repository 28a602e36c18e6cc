# METADATA
# title: Key vaults authorise by roles
# custom:
#   id: azure-key-vault-rbac
#   severity: low
#   remediation: "Set rbac_authorization_enabled to true."
#   resource_types:
#     - azurerm_key_vault
#   decides:
#     - enable_rbac_authorization
#   controls:
#     CIS-Azure-3.0: ["3.3.6"]
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.azure.key_vault_rbac

import data.weir.lib

deny contains "access policies are used in place of roles" if {
	not lib.any_true("enable_rbac_authorization")
	not lib.any_true("rbac_authorization_enabled")
}
