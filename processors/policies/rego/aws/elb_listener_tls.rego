# METADATA
# title: Classic load balancers serve TLS
# custom:
#   id: aws-elb-listener-tls
#   severity: high
#   remediation: "Set lb_protocol to https or ssl."
#   resource_types:
#     - aws_elb
#   decides:
#     - listener.lb_protocol
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.elb_listener_tls

import data.weir.lib

deny contains "a listener serves without TLS" if {
	lib.any_in("listener.lb_protocol", {"http", "HTTP", "tcp", "TCP"})
}
