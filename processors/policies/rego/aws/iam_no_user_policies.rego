# METADATA
# title: Policies belong to groups and roles, not to users
# custom:
#   id: aws-iam-no-user-policies
#   severity: low
#   remediation: "Attach the policy to a group or role."
#   resource_types:
#     - aws_iam_user_policy
#     - aws_iam_user_policy_attachment
#     - aws_iam_policy_attachment
#   denies: present
#   controls:
#     CIS-AWS-3.0: ["1.15"]
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.aws.iam_no_user_policies

import data.weir.lib

deny contains "the policy belongs to a user" if input.resource.type != "aws_iam_policy_attachment"

deny contains "the policy belongs to a user" if count(lib.values("users")) > 0
