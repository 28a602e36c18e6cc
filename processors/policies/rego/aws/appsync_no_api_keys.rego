# METADATA
# title: Interfaces of AppSync do not take keys of an API
# custom:
#   id: aws-appsync-no-api-keys
#   severity: medium
#   remediation: "Authenticate by IAM, Cognito or OpenID Connect."
#   resource_types:
#     - aws_appsync_graphql_api
#   decides:
#     - authentication_type
#   denies: present
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.aws.appsync_no_api_keys

import data.weir.lib

deny contains "whoever has the key is let in" if {
	some path in {"authentication_type", "additional_authentication_provider.authentication_type"}
	lib.any_in(path, {"API_KEY"})
}
