# METADATA
# title: Containers have a request of memory
# custom:
#   id: kubernetes-memory-request
#   severity: low
#   remediation: "Set resources.requests.memory."
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
#     CIS-Controls-8: ["11.1"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(7)(i)"]
#     NIST-800-53r5: ["CP-10", "SC-5"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.kubernetes.memory_request

import data.weir.lib

deny contains sprintf("the container %s has no request of memory", [container.name]) if {
	some container in lib.containers
	not container.resources.requests.memory
}

not_evaluated contains "the object has no pod" if not lib.pod
