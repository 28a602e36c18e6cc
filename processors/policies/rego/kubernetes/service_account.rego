# METADATA
# title: Pods have a service account of their own
# custom:
#   id: kubernetes-service-account
#   severity: low
#   remediation: "Set serviceAccountName."
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
#     CIS-Kubernetes-1.10: ["5.1.5"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.service_account

import data.weir.lib

deny contains "the pod uses the default service account" if {
	name := object.get(lib.pod, "serviceAccountName", object.get(lib.pod, "serviceAccount", ""))
	name in {"", "default"}
	not lib.pod.automountServiceAccountToken == false
}

not_evaluated contains "the object has no pod" if not lib.pod
