# METADATA
# title: Containers take no ports of their node
# custom:
#   id: kubernetes-no-host-port
#   severity: medium
#   remediation: "Use a Service."
#   resource_types:
#     - Pod
#     - Deployment
#     - StatefulSet
#     - DaemonSet
#     - ReplicaSet
#     - Job
#     - CronJob
#     - ReplicationController
#     - PodTemplate
#   controls:
#     CIS-Controls-8: ["4.4"]
#     CIS-Kubernetes-1.10: ["5.2.13"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.kubernetes.no_host_port

import data.weir.lib

deny contains sprintf("the container %s takes a port of its node", [container.name]) if {
	some container in lib.containers
	some port in lib.items(object.get(container, "ports", null))
	port.hostPort > 0
}

not_evaluated contains "the object has no pod" if not lib.pod
