# METADATA
# title: Load balancers refuse TLS before 1.2
# custom:
#   id: aws-lb-listener-tls-policy
#   severity: medium
#   remediation: "Set ssl_policy to ELBSecurityPolicy-TLS13-1-2-2021-06."
#   resource_types:
#     - aws_lb_listener
#     - aws_alb_listener
#   decides:
#     - ssl_policy
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.lb_listener_tls_policy

import data.weir.lib

deny contains sprintf("the policy %s admits TLS before 1.2", [policy]) if {
	upper(lib.value("protocol", "")) in {"HTTPS", "TLS"}
	policy := lib.value("ssl_policy", "ELBSecurityPolicy-2016-08")
	not regex.match(`^ELBSecurityPolicy-(TLS13-1-[23]|TLS-1-2|FS-1-2)`, policy)
}
