# METADATA
# title: ECS containers are not privileged
# custom:
#   id: aws-ecs-no-privileged
#   severity: high
#   remediation: "Set privileged to false in the container definitions."
#   resource_types:
#     - aws_ecs_task_definition
#   decides:
#     - container_definitions
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.aws.ecs_no_privileged

import data.weir.lib

deny contains sprintf("the container %s is privileged", [container.name]) if {
	some container in containers
	container.privileged == true
}

containers := [container |
	some text in lib.values("container_definitions")
	some container in json.unmarshal(text)
]
