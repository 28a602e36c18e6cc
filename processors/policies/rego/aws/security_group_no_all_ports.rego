# METADATA
# title: Not every port is open to the internet
# custom:
#   id: aws-security-group-no-all-ports
#   severity: critical
#   remediation: "Open the ports that serve the public, one by one."
#   resource_types:
#     - aws_security_group
#     - aws_security_group_rule
#     - aws_vpc_security_group_ingress_rule
#     - aws_default_security_group
#   decides:
#     - ingress.cidr_blocks
#     - cidr_blocks
#     - cidr_ipv4
#     - cidr_ipv6
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.security_group_no_all_ports

import data.weir.lib

deny contains "every port is open to the internet" if {
	some rule in lib.inbound
	rule.open
	spans(rule)
}

spans(rule) if lib.is_all_protocols(rule)

spans(rule) if {
	rule.from <= 1
	rule.to >= 65535
}
