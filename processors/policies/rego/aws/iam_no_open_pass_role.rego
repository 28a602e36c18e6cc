# METADATA
# title: Policies hand over named roles only
# custom:
#   id: aws-iam-no-open-pass-role
#   severity: high
#   remediation: "Name the roles in the statement of iam:PassRole."
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
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.aws.iam_no_open_pass_role

import data.weir.lib

deny contains "any role may be handed to a service" if {
	some path in {"policy", "inline_policy"}
	some statement in lib.statements(path)
	lib.allows(statement)
	some action in lib.actions(statement)
	action in {"iam:passrole", "iam:pass*"}
	"*" in lib.targets(statement)
	not lib.has_condition(statement)
}
