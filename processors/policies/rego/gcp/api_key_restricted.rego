# METADATA
# title: API keys are restricted to interfaces and callers
# custom:
#   id: gcp-api-key-restricted
#   severity: high
#   remediation: "Set restrictions.api_targets, and one of the restrictions to callers."
#   resource_types:
#     - google_apikeys_key
#   decides:
#     - restrictions
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.gcp.api_key_restricted

import data.weir.lib

deny contains "the key opens every interface of the project" if count(lib.blocks("restrictions.api_targets")) == 0

deny contains "anybody may use the key from anywhere" if not is_narrow

is_narrow if {
	some name in {
		"browser_key_restrictions", "server_key_restrictions", "android_key_restrictions", "ios_key_restrictions",
	}
	count(lib.values(concat(".", ["restrictions", name]))) > 0
}
