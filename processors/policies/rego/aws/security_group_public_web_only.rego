# METADATA
# title: Only web ports are open to the internet
# custom:
#   id: aws-security-group-public-web-only
#   severity: medium
#   remediation: "Put the service behind a load balancer, or name the networks that need it."
#   resource_types:
#     - aws_security_group
#     - aws_security_group_rule
#     - aws_vpc_security_group_ingress_rule
#     - aws_default_security_group
#   decides:
#     - ingress.cidr_blocks
#     - ingress.ipv6_cidr_blocks
#     - cidr_blocks
#     - cidr_ipv4
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.security_group_public_web_only

import data.weir.lib

deny contains sprintf("%s is open to the internet", [named(rule)]) if {
	some rule in lib.inbound
	rule.open
	not is_web(rule)
	not rule.protocol in {"icmp", "icmpv6", "1", "58"}
}

is_web(rule) if {
	rule.from == rule.to
	rule.from in {80, 443}
	not lib.is_all_protocols(rule)
}

named(rule) := "every port" if lib.is_all_protocols(rule)

named(rule) := sprintf("%s %v to %v", [rule.protocol, rule.from, rule.to]) if not lib.is_all_protocols(rule)
