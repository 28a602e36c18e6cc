# METADATA
# title: Policies do not allow every action on every resource
# custom:
#   id: aws-iam-no-admin-policy
#   severity: critical
#   remediation: "List the actions and resources that are needed."
#   resource_types:
#     - aws_iam_policy
#     - aws_iam_role_policy
#     - aws_iam_user_policy
#     - aws_iam_group_policy
#     - aws_ssoadmin_permission_set_inline_policy
#   decides:
#     - policy
#     - inline_policy
#   denies: present
#   controls:
#     CIS-AWS-3.0: ["1.16"]
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.aws.iam_no_admin_policy

import data.weir.lib

deny contains "the policy allows every action on every resource" if {
	some path in {"policy", "inline_policy"}
	some statement in lib.statements(path)
	lib.allows(statement)
	some action in lib.actions(statement)
	action in {"*", "*:*"}
	some target in lib.targets(statement)
	target in {"*", "arn:aws:*", "arn:*"}
}

deny contains "the policy allows every action but some" if {
	some path in {"policy", "inline_policy"}
	some statement in lib.statements(path)
	lib.allows(statement)
	not object.get(statement, "NotAction", null) == null
	"*" in lib.targets(statement)
}
