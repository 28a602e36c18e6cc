# METADATA
# title: Administrator access is not attached
# custom:
#   id: aws-iam-no-admin-attachment
#   severity: high
#   remediation: "Attach a policy with the actions that are needed."
#   resource_types:
#     - aws_iam_role_policy_attachment
#     - aws_iam_user_policy_attachment
#     - aws_iam_group_policy_attachment
#     - aws_iam_policy_attachment
#     - aws_ssoadmin_managed_policy_attachment
#   decides:
#     - policy_arn
#     - managed_policy_arn
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.aws.iam_no_admin_attachment

import data.weir.lib

deny contains sprintf("%s is attached", [name]) if {
	some path in {"policy_arn", "managed_policy_arn"}
	some arn in lib.values(path)
	some name in {"AdministratorAccess", "IAMFullAccess", "PowerUserAccess"}
	endswith(arn, concat("", ["policy/", name]))
}
