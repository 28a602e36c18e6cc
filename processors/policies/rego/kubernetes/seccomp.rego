# METADATA
# title: Containers run under a seccomp profile
# custom:
#   id: kubernetes-seccomp
#   severity: medium
#   remediation: "Set securityContext.seccompProfile.type to RuntimeDefault."
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
#     CIS-Kubernetes-1.10: ["5.7.2"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.kubernetes.seccomp

import data.weir.lib

deny contains sprintf("the container %s runs without a seccomp profile", [container.name]) if {
	some container in lib.containers
	not profiled(container)
}

profiled(container) if lib.security(container, "seccompProfile").type in {"RuntimeDefault", "Localhost"}

profiled(_) if {
	annotations := object.get(input.config.metadata, "annotations", {})
	annotations["seccomp.security.alpha.kubernetes.io/pod"] in {"runtime/default", "docker/default"}
}

not_evaluated contains "the object has no pod" if not lib.pod
