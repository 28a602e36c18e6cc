# METADATA
# title: Default security groups allow nothing
# custom:
#   id: aws-default-security-group-closed
#   severity: medium
#   remediation: "Remove every ingress and egress block."
#   resource_types:
#     - aws_default_security_group
#   decides:
#     - ingress
#     - egress
#   denies: present
#   controls:
#     CIS-AWS-3.0: ["5.4"]
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.default_security_group_closed

import data.weir.lib

deny contains sprintf("the default security group has %s rules", [name]) if {
	some name in {"ingress", "egress"}
	count(lib.blocks(name)) > 0
}
