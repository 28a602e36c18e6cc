# METADATA
# title: Instances have no public address
# custom:
#   id: aws-instance-no-public-address
#   severity: medium
#   remediation: "Set associate_public_ip_address to false and reach the instance through a load balancer."
#   resource_types:
#     - aws_instance
#     - aws_launch_template
#     - aws_launch_configuration
#   decides:
#     - associate_public_ip_address
#     - network_interfaces.associate_public_ip_address
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.instance_no_public_address

import data.weir.lib

deny contains "the instance gets a public address" if {
	some path in {"associate_public_ip_address", "network_interfaces.associate_public_ip_address"}
	lib.any_true(path)
}
