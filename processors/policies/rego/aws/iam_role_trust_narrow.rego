# METADATA
# title: Roles are assumed by named principals
# custom:
#   id: aws-iam-role-trust-narrow
#   severity: critical
#   remediation: "Name accounts, roles or services, or add a condition."
#   resource_types:
#     - aws_iam_role
#   decides:
#     - assume_role_policy
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.aws.iam_role_trust_narrow

import data.weir.lib

deny contains "anybody may assume the role" if {
	some statement in lib.statements("assume_role_policy")
	lib.is_public(statement)
}
