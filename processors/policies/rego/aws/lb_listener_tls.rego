# METADATA
# title: Load balancers serve TLS, or redirect to it
# custom:
#   id: aws-lb-listener-tls
#   severity: high
#   remediation: "Set protocol to HTTPS, or redirect HTTP to HTTPS."
#   resource_types:
#     - aws_lb_listener
#     - aws_alb_listener
#   decides:
#     - protocol
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.lb_listener_tls

import data.weir.lib

deny contains "the listener serves without TLS" if {
	upper(lib.value("protocol", "HTTP")) in {"HTTP", "TCP"}
	not redirects
	not passes
}

redirects if upper(lib.value("default_action.redirect.protocol", "")) == "HTTPS"

# A network load balancer hands TLS through on its port.
passes if {
	upper(lib.value("protocol", "HTTP")) == "TCP"
	lib.number("port", 0) in {443, 8443}
}
