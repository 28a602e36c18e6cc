# METADATA
# title: Databases are not open to the internet
# custom:
#   id: aws-security-group-no-public-database
#   severity: critical
#   remediation: "Allow the security group of the application instead of networks."
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
package weir.aws.security_group_no_public_database

import data.weir.lib

deny contains sprintf("port %d is open to the internet", [port]) if {
	some port in {3306, 1433, 1521, 5432, 5439, 6379, 9200, 11211, 27017, 9042, 5984}
	lib.open_port(port)
}
