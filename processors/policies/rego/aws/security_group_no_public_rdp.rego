# METADATA
# title: Remote desktop is not open to the internet
# custom:
#   id: aws-security-group-no-public-rdp
#   severity: critical
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
#     CIS-AWS-3.0: ["5.2", "5.3"]
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.security_group_no_public_rdp

import data.weir.lib

deny contains "remote desktop (port 3389) is open to the internet" if lib.open_port(3389)
