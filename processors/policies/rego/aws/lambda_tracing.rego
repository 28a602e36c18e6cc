# METADATA
# title: Lambda functions are traced
# custom:
#   id: aws-lambda-tracing
#   severity: low
#   remediation: "Set tracing_config.mode to Active."
#   resource_types:
#     - aws_lambda_function
#   decides:
#     - tracing_config.mode
#   controls:
#     CIS-Controls-8: ["13.1"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(1)(ii)(D)"]
#     NIST-800-53r5: ["SI-4"]
#     PCI-DSS-4.0: ["10.4.1"]
#     SOC2: ["CC7.2", "CC7.3"]
package weir.aws.lambda_tracing

import data.weir.lib

deny contains "calls are not traced" if not lib.all_in("tracing_config.mode", {"Active"})
