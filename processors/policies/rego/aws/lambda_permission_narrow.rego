# METADATA
# title: Lambda functions are called by named principals
# custom:
#   id: aws-lambda-permission-narrow
#   severity: high
#   remediation: "Name the principal, and source_arn or source_account of a service."
#   resource_types:
#     - aws_lambda_permission
#   decides:
#     - principal
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.lambda_permission_narrow

import data.weir.lib

deny contains "anybody may call the function" if {
	lib.any_in("principal", {"*"})
	not lib.present("principal_org_id")
}

deny contains "any account may call the function through the service" if {
	some principal in lib.values("principal")
	endswith(principal, ".amazonaws.com")
	not lib.present("source_arn")
	not lib.present("source_account")
}
