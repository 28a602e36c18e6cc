# METADATA
# title: Passwords have 14 characters or more
# custom:
#   id: aws-iam-password-length
#   severity: medium
#   remediation: "Set minimum_password_length to 14."
#   resource_types:
#     - aws_iam_account_password_policy
#   decides:
#     - minimum_password_length
#   controls:
#     CIS-AWS-3.0: ["1.8"]
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.aws.iam_password_length

import data.weir.lib

deny contains "passwords may be shorter than 14 characters" if {
	lib.number("minimum_password_length", 6) < 14
}
