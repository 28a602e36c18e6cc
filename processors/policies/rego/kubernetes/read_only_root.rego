# METADATA
# title: Containers do not write to their root file system
# custom:
#   id: kubernetes-read-only-root
#   severity: medium
#   remediation: "Set securityContext.readOnlyRootFilesystem to true and mount what is written."
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
#     CIS-Controls-8: ["4.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.kubernetes.read_only_root

import data.weir.lib

deny contains sprintf("the container %s may write to its root file system", [container.name]) if {
	some container in lib.containers
	not container.securityContext.readOnlyRootFilesystem == true
}

not_evaluated contains "the object has no pod" if not lib.pod
