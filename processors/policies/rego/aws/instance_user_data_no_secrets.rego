# METADATA
# title: User data of instances holds no credentials
# custom:
#   id: aws-instance-user-data-no-secrets
#   severity: critical
#   remediation: "Read credentials from Secrets Manager or SSM at start."
#   resource_types:
#     - aws_instance
#     - aws_launch_template
#     - aws_launch_configuration
#   decides:
#     - user_data
#     - user_data_base64
#   denies: present
#   controls:
#     CIS-Controls-8: ["16.11"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["IA-5(7)", "SC-28"]
#     PCI-DSS-4.0: ["8.6.2"]
#     SOC2: ["CC6.1"]
package weir.aws.instance_user_data_no_secrets

import data.weir.lib

deny contains "the user data holds a credential" if {
	some path in {"user_data", "user_data_base64"}
	some text in lib.values(path)
	some form in forms(text)
	lib.holds_key(form)
}

forms(text) := {text, base64.decode(text)} if base64.is_valid(text)

forms(text) := {text} if not base64.is_valid(text)
