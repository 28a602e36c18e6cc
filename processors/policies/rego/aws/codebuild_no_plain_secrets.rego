# METADATA
# title: CodeBuild has no credentials in plain variables
# custom:
#   id: aws-codebuild-no-plain-secrets
#   severity: critical
#   remediation: "Give the variable the type SECRETS_MANAGER or PARAMETER_STORE."
#   resource_types:
#     - aws_codebuild_project
#   decides:
#     - environment.environment_variable
#   denies: present
#   controls:
#     CIS-Controls-8: ["16.11"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["IA-5(7)", "SC-28"]
#     PCI-DSS-4.0: ["8.6.2"]
#     SOC2: ["CC6.1"]
package weir.aws.codebuild_no_plain_secrets

import data.weir.lib

deny contains sprintf("the variable %s holds a credential", [one.name]) if {
	some one in lib.values("environment.environment_variable")
	object.get(one, "type", "PLAINTEXT") in {"PLAINTEXT", null}
	is_credential(one)
}

is_credential(one) if {
	lib.looks_secret(one.name)
	one.value != ""
}

is_credential(one) if lib.holds_key(one.value)
