# METADATA
# title: Outbound traffic is restricted
# custom:
#   id: aws-security-group-egress-restricted
#   severity: low
#   remediation: "Name ports and networks of outbound traffic."
#   resource_types:
#     - aws_security_group
#     - aws_security_group_rule
#     - aws_vpc_security_group_egress_rule
#   decides:
#     - egress.cidr_blocks
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
package weir.aws.security_group_egress_restricted

import data.weir.lib

deny contains "every outbound connection is allowed" if {
	some block in outbound
	lower(sprintf("%v", [object.get(block, "protocol", object.get(block, "ip_protocol", ""))])) in {"-1", "all"}
	some name in {"cidr_blocks", "ipv6_cidr_blocks", "cidr_ipv4", "cidr_ipv6"}
	some range in lib.items(object.get(block, name, null))
	lib.is_anywhere(range)
}

outbound contains block if some block in lib.blocks("egress")

outbound contains input.config if input.resource.type == "aws_vpc_security_group_egress_rule"

outbound contains input.config if input.config.type == "egress"
