# METADATA
# title: Containers are not privileged
# custom:
#   id: kubernetes-no-privileged
#   severity: critical
#   remediation: "Set securityContext.privileged to false."
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
#     CIS-Kubernetes-1.10: ["5.2.2"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.no_privileged

import data.weir.lib

deny contains sprintf("the container %s is privileged", [container.name]) if {
	some container in lib.containers
	container.securityContext.privileged == true
}

not_evaluated contains "the object has no pod" if not lib.pod
