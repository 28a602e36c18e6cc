# METADATA
# title: Config maps hold no credentials
# custom:
#   id: kubernetes-config-map-no-secrets
#   severity: high
#   remediation: "Keep it in a Secret, or outside of the cluster."
#   resource_types:
#     - ConfigMap
#   controls:
#     CIS-Controls-8: ["16.11"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["IA-5(7)", "SC-28"]
#     PCI-DSS-4.0: ["8.6.2"]
#     SOC2: ["CC6.1"]
package weir.kubernetes.config_map_no_secrets

import data.weir.lib

deny contains sprintf("the key %s holds a credential", [name]) if {
	some name, value in object.get(input.config, "data", {})
	is_credential(name, value)
}

is_credential(name, value) if {
	lib.looks_secret(name)
	value != ""
}

is_credential(_, value) if lib.holds_key(value)
