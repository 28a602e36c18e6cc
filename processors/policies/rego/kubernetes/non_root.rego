# METADATA
# title: Containers do not run as root
# custom:
#   id: kubernetes-non-root
#   severity: high
#   remediation: "Set securityContext.runAsNonRoot to true, or runAsUser above 0."
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
#     CIS-Controls-8: ["6.8"]
#     CIS-Kubernetes-1.10: ["5.2.7"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.non_root

import data.weir.lib

deny contains sprintf("the container %s may run as root", [container.name]) if {
	some container in lib.containers
	not is_other(container)
}

deny contains sprintf("the container %s runs as root", [container.name]) if {
	some container in lib.containers
	lib.security(container, "runAsUser") == 0
}

is_other(container) if lib.security(container, "runAsNonRoot") == true

is_other(container) if lib.security(container, "runAsUser") > 0

not_evaluated contains "the object has no pod" if not lib.pod
