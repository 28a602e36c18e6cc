# METADATA
# title: ECS containers log
# custom:
#   id: aws-ecs-logging
#   severity: medium
#   remediation: "Add logConfiguration to the container definitions."
#   resource_types:
#     - aws_ecs_task_definition
#   decides:
#     - container_definitions
#   denies: present
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.ecs_logging

import data.weir.lib

deny contains sprintf("the container %s does not log", [container.name]) if {
	some container in containers
	not container.logConfiguration.logDriver
}

containers := [container |
	some text in lib.values("container_definitions")
	some container in json.unmarshal(text)
]
