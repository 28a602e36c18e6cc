# METADATA
# title: Workloads stand in namespaces of their own
# custom:
#   id: kubernetes-no-default-namespace
#   severity: low
#   remediation: "Set metadata.namespace."
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
#     - Service
#   controls:
#     CIS-Controls-8: ["4.1"]
#     CIS-Kubernetes-1.10: ["5.7.4"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.kubernetes.no_default_namespace

deny contains "the object stands in the default namespace" if {
	object.get(input.config.metadata, "namespace", "default") == "default"
}
