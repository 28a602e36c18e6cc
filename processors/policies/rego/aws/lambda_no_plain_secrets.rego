# METADATA
# title: Lambda functions have no credentials in their environment
# custom:
#   id: aws-lambda-no-plain-secrets
#   severity: high
#   remediation: "Read them from Secrets Manager at start."
#   resource_types:
#     - aws_lambda_function
#   decides:
#     - environment.variables
#   denies: present
#   controls:
#     CIS-Controls-8: ["16.11"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["IA-5(7)", "SC-28"]
#     PCI-DSS-4.0: ["8.6.2"]
#     SOC2: ["CC6.1"]
package weir.aws.lambda_no_plain_secrets

import data.weir.lib

deny contains sprintf("the variable %s holds a credential", [name]) if {
	some block in lib.values("environment.variables")
	some name, value in block
	is_credential(name, value)
}

is_credential(name, value) if {
	lib.looks_secret(name)
	value != ""
}

is_credential(_, value) if lib.holds_key(value)
