# METADATA
# title: Pods do not reach the container runtime
# custom:
#   id: kubernetes-no-runtime-socket
#   severity: critical
#   remediation: "Build images without the runtime of the node."
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
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.no_runtime_socket

import data.weir.lib

deny contains sprintf("the volume %s is the socket of the container runtime", [volume.name]) if {
	some volume in lib.volumes
	regex.match(`(docker|containerd|crio)[^/]*\.sock$`, volume.hostPath.path)
}

not_evaluated contains "the object has no pod" if not lib.pod
