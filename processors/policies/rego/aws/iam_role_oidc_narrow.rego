# METADATA
# title: Roles for GitHub Actions name repositories
# custom:
#   id: aws-iam-role-oidc-narrow
#   severity: high
#   remediation: "Add a condition on token.actions.githubusercontent.com:sub that names the repository."
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
package weir.aws.iam_role_oidc_narrow

import data.weir.lib

deny contains "any repository may assume the role" if {
	some statement in lib.statements("assume_role_policy")
	lib.allows(statement)
	some provider in lib.as_list(statement.Principal.Federated)
	contains(provider, "token.actions.githubusercontent.com")
	not names_repository(statement)
}

names_repository(statement) if {
	some tests in object.get(statement, "Condition", {})
	some key, value in tests
	lower(key) == "token.actions.githubusercontent.com:sub"
	every one in lib.as_list(value) {
		regex.match(`^repo:[^*/]+/[^:]+:`, one)
	}
}
