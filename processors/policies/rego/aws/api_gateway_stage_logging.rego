# METADATA
# title: Stages of API Gateway log access
# custom:
#   id: aws-api-gateway-stage-logging
#   severity: medium
#   remediation: "Add access_log_settings."
#   resource_types:
#     - aws_api_gateway_stage
#     - aws_apigatewayv2_stage
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.api_gateway_stage_logging

import data.weir.lib

deny contains "access is not logged" if not lib.present("access_log_settings.destination_arn")
