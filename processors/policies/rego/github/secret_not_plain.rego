# METADATA
# title: Secrets of Actions are written encrypted
# custom:
#   id: github-secret-not-plain
#   severity: high
#   remediation: "Set encrypted_value in place of plaintext_value."
#   resource_types:
#     - github_actions_secret
#     - github_actions_organization_secret
#     - github_actions_environment_secret
#     - github_dependabot_secret
#   decides:
#     - plaintext_value
#   denies: present
#   controls:
#     CIS-Controls-8: ["16.11"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["IA-5(7)", "SC-28"]
#     PCI-DSS-4.0: ["8.6.2"]
#     SOC2: ["CC6.1"]
package weir.github.secret_not_plain

import data.weir.lib

deny contains "the secret stands in the configuration" if {
	some value in lib.values("plaintext_value")
	value != ""
	not value == "(sensitive value)"
}
