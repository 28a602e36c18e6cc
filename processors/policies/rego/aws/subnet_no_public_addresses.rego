# METADATA
# title: Subnets give no public addresses
# custom:
#   id: aws-subnet-no-public-addresses
#   severity: medium
#   remediation: "Set map_public_ip_on_launch to false."
#   resource_types:
#     - aws_subnet
#     - aws_default_subnet
#   decides:
#     - map_public_ip_on_launch
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.subnet_no_public_addresses

import data.weir.lib

deny contains "instances in the subnet get public addresses" if lib.any_true("map_public_ip_on_launch")
