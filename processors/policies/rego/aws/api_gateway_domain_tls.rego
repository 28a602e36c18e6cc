# METADATA
# title: Domains of API Gateway refuse TLS before 1.2
# custom:
#   id: aws-api-gateway-domain-tls
#   severity: medium
#   remediation: "Set security_policy to TLS_1_2."
#   resource_types:
#     - aws_api_gateway_domain_name
#     - aws_apigatewayv2_domain_name
#   decides:
#     - security_policy
#     - domain_name_configuration.security_policy
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.api_gateway_domain_tls

import data.weir.lib

deny contains "TLS before 1.2 is accepted" if {
	policies := array.concat(lib.values("security_policy"), lib.values("domain_name_configuration.security_policy"))
	not all_modern(policies)
}

all_modern(policies) if {
	count(policies) > 0
	every policy in policies {
		startswith(policy, "TLS_1_2")
	}
}

all_modern(policies) if {
	count(policies) > 0
	every policy in policies {
		regex.match(`TLS13|TLS_1_3`, policy)
	}
}
