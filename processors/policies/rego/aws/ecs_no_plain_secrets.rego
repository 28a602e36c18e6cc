# METADATA
# title: ECS containers have no credentials in their environment
# custom:
#   id: aws-ecs-no-plain-secrets
#   severity: high
#   remediation: "Read them through secrets, from Secrets Manager or SSM."
#   resource_types:
#     - aws_ecs_task_definition
#   decides:
#     - container_definitions
#   denies: present
#   controls:
#     CIS-Controls-8: ["16.11"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["IA-5(7)", "SC-28"]
#     PCI-DSS-4.0: ["8.6.2"]
#     SOC2: ["CC6.1"]
package weir.aws.ecs_no_plain_secrets

import data.weir.lib

deny contains sprintf("the variable %s of the container %s holds a credential", [one.name, container.name]) if {
	some container in containers
	some one in lib.items(object.get(container, "environment", null))
	is_credential(one)
}

is_credential(one) if {
	lib.looks_secret(one.name)
	one.value != ""
}

is_credential(one) if lib.holds_key(one.value)

containers := [container |
	some text in lib.values("container_definitions")
	some container in json.unmarshal(text)
]
