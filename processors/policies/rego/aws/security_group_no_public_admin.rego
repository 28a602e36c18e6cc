# METADATA
# title: Ports of remote administration are not open to the internet
# custom:
#   id: aws-security-group-no-public-admin
#   severity: high
#   remediation: "Name the networks that administer."
#   resource_types:
#     - aws_security_group
#     - aws_security_group_rule
#     - aws_vpc_security_group_ingress_rule
#     - aws_default_security_group
#   decides:
#     - ingress.cidr_blocks
#     - ingress.ipv6_cidr_blocks
#     - cidr_blocks
#     - ipv6_cidr_blocks
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
package weir.aws.security_group_no_public_admin

import data.weir.lib

deny contains sprintf("port %d is open to the internet", [port]) if {
	some port in {23, 21, 135, 139, 445, 2375, 2376, 5900, 5985, 5986, 10250}
	lib.open_port(port)
}
