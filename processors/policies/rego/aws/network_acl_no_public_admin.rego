# METADATA
# title: Network access lists close SSH and remote desktop to the internet
# custom:
#   id: aws-network-acl-no-public-admin
#   severity: high
#   remediation: "Name the networks that administer."
#   resource_types:
#     - aws_network_acl
#     - aws_network_acl_rule
#     - aws_default_network_acl
#   decides:
#     - ingress.cidr_block
#     - cidr_block
#   denies: present
#   controls:
#     CIS-AWS-3.0: ["5.1"]
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.network_acl_no_public_admin

import data.weir.lib

deny contains sprintf("port %d is open to the internet", [number]) if {
	some number in {22, 3389}
	some rule in rules
	lower(object.get(rule, "action", object.get(rule, "rule_action", ""))) == "allow"
	lower(sprintf("%v", [rule.protocol])) in {"-1", "all", "tcp", "6"}
	some name in {"cidr_block", "ipv6_cidr_block"}
	lib.is_anywhere(object.get(rule, name, ""))
	reaches(rule, number)
}

rules contains rule if some rule in lib.blocks("ingress")

rules contains input.config if {
	input.resource.type == "aws_network_acl_rule"
	not lib.is_true(object.get(input.config, "egress", false))
}

reaches(rule, _) if lower(sprintf("%v", [rule.protocol])) in {"-1", "all"}

reaches(rule, number) if {
	rule.from_port <= number
	rule.to_port >= number
}
