# METADATA
# title: Services of ECS have no public addresses
# custom:
#   id: aws-ecs-service-no-public-address
#   severity: high
#   remediation: "Set network_configuration.assign_public_ip to false, and reach the internet through a NAT gateway."
#   resource_types:
#     - aws_ecs_service
#   decides:
#     - network_configuration.assign_public_ip
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.4", "12.2"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.ecs_service_no_public_address

import data.weir.lib

deny contains "tasks get public addresses" if lib.any_true("network_configuration.assign_public_ip")
