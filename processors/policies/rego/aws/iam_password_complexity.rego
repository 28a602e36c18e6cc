# METADATA
# title: Passwords mix kinds of characters
# custom:
#   id: aws-iam-password-complexity
#   severity: low
#   remediation: "Require upper case, lower case, numbers and symbols."
#   resource_types:
#     - aws_iam_account_password_policy
#   decides:
#     - require_symbols
#     - require_numbers
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.aws.iam_password_complexity

import data.weir.lib

deny contains sprintf("%s is not true", [name]) if {
	some name in {"require_lowercase_characters", "require_numbers", "require_symbols", "require_uppercase_characters"}
	not lib.all_true(name)
}
