# METADATA
# title: Addresses of Lambda functions authorise callers
# custom:
#   id: aws-lambda-url-authorised
#   severity: high
#   remediation: "Set authorization_type to AWS_IAM."
#   resource_types:
#     - aws_lambda_function_url
#   decides:
#     - authorization_type
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.aws.lambda_url_authorised

import data.weir.lib

deny contains "anybody may call the function" if not lib.all_in("authorization_type", {"AWS_IAM"})
