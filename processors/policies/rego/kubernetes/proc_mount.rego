# METADATA
# title: Containers see a masked /proc
# custom:
#   id: kubernetes-proc-mount
#   severity: high
#   remediation: "Leave securityContext.procMount out."
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
package weir.kubernetes.proc_mount

import data.weir.lib

deny contains sprintf("the container %s sees an unmasked /proc", [container.name]) if {
	some container in lib.containers
	object.get(object.get(container, "securityContext", {}), "procMount", "Default") != "Default"
}

not_evaluated contains "the object has no pod" if not lib.pod
