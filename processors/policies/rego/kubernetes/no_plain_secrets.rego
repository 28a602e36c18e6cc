# METADATA
# title: Containers have no credentials in their environment
# custom:
#   id: kubernetes-no-plain-secrets
#   severity: high
#   remediation: "Use valueFrom.secretKeyRef, or mount the secret."
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
#     CIS-Controls-8: ["16.11"]
#     CIS-Kubernetes-1.10: ["5.4.1"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["IA-5(7)", "SC-28"]
#     PCI-DSS-4.0: ["8.6.2"]
#     SOC2: ["CC6.1"]
package weir.kubernetes.no_plain_secrets

import data.weir.lib

deny contains sprintf("the variable %s of the container %s holds a credential", [one.name, container.name]) if {
	some container in lib.containers
	some one in lib.items(object.get(container, "env", null))
	is_credential(one)
}

is_credential(one) if {
	lib.looks_secret(one.name)
	one.value != ""
}

is_credential(one) if lib.holds_key(one.value)

not_evaluated contains "the object has no pod" if not lib.pod
