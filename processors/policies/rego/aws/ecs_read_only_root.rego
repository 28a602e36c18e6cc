# METADATA
# title: ECS containers do not write to their root file system
# custom:
#   id: aws-ecs-read-only-root
#   severity: medium
#   remediation: "Set readonlyRootFilesystem to true in the container definitions."
#   resource_types:
#     - aws_ecs_task_definition
#   decides:
#     - container_definitions
#   denies: present
#   controls:
#     CIS-Controls-8: ["4.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.aws.ecs_read_only_root

import data.weir.lib

deny contains sprintf("the container %s may write to its root file system", [container.name]) if {
	some container in containers
	not container.readonlyRootFilesystem == true
}

containers := [container |
	some text in lib.values("container_definitions")
	some container in json.unmarshal(text)
]
