# METADATA
# title: Parameters with secrets are SecureStrings
# custom:
#   id: aws-ssm-parameter-secure
#   severity: high
#   remediation: "Set type to SecureString."
#   resource_types:
#     - aws_ssm_parameter
#   decides:
#     - type
#   controls:
#     CIS-Controls-8: ["16.11"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["IA-5(7)", "SC-28"]
#     PCI-DSS-4.0: ["8.6.2"]
#     SOC2: ["CC6.1"]
package weir.aws.ssm_parameter_secure

import data.weir.lib

deny contains "a secret is kept as plain text" if {
	lib.looks_secret(lib.value("name", ""))
	not lib.any_in("type", {"SecureString"})
}
