# METADATA
# title: ECS tasks do not share namespaces of the host
# custom:
#   id: aws-ecs-no-host-namespaces
#   severity: high
#   remediation: "Set network_mode to awsvpc and leave pid_mode and ipc_mode out."
#   resource_types:
#     - aws_ecs_task_definition
#   decides:
#     - network_mode
#     - pid_mode
#     - ipc_mode
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.aws.ecs_no_host_namespaces

import data.weir.lib

deny contains sprintf("%s is host", [name]) if {
	some name in {"network_mode", "pid_mode", "ipc_mode"}
	lib.any_in(name, {"host"})
}
