# METADATA
# title: Methods of API Gateway authorise callers
# custom:
#   id: aws-api-gateway-method-authorization
#   severity: high
#   remediation: "Set authorization, or authorization_type."
#   resource_types:
#     - aws_api_gateway_method
#     - aws_apigatewayv2_route
#   decides:
#     - authorization
#     - authorization_type
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.aws.api_gateway_method_authorization

import data.weir.lib

deny contains "anybody may call the method" if {
	upper(object.get(input.config, "authorization", object.get(input.config, "authorization_type", "NONE"))) == "NONE"
	not lib.any_true("api_key_required")
	not upper(lib.value("http_method", "")) == "OPTIONS"
}
