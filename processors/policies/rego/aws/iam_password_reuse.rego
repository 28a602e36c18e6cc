# METADATA
# title: Passwords are not used again
# custom:
#   id: aws-iam-password-reuse
#   severity: low
#   remediation: "Set password_reuse_prevention to 24."
#   resource_types:
#     - aws_iam_account_password_policy
#   decides:
#     - password_reuse_prevention
#   controls:
#     CIS-AWS-3.0: ["1.9"]
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.aws.iam_password_reuse

import data.weir.lib

deny contains "one of the last 24 passwords may be used again" if {
	lib.number("password_reuse_prevention", 0) < 24
}
