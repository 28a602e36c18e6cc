# METADATA
# title: Containers have a readiness probe
# custom:
#   id: kubernetes-readiness-probe
#   severity: low
#   remediation: "Set readinessProbe."
#   resource_types:
#     - Pod
#     - Deployment
#     - StatefulSet
#     - DaemonSet
#     - ReplicaSet
#     - ReplicationController
#   controls:
#     CIS-Controls-8: ["11.1"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(7)(i)"]
#     NIST-800-53r5: ["CP-10", "SC-5"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.kubernetes.readiness_probe

import data.weir.lib

deny contains sprintf("the container %s has no readiness probe", [container.name]) if {
	some container in lib.lasting
	not container.readinessProbe
}

not_evaluated contains "the object has no pod" if not lib.pod
