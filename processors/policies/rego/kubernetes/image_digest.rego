# METADATA
# title: Images are pinned by digest
# custom:
#   id: kubernetes-image-digest
#   severity: low
#   remediation: "Name the digest: image@sha256:…."
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
#     CIS-Controls-8: ["16.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(8)"]
#     NIST-800-53r5: ["CM-3", "SA-11", "SI-7"]
#     PCI-DSS-4.0: ["6.2.3", "6.5.1"]
#     SOC2: ["CC8.1"]
package weir.kubernetes.image_digest

import data.weir.lib

deny contains sprintf("the container %s does not pin its image", [container.name]) if {
	some container in lib.containers
	not contains(object.get(container, "image", ""), "@sha256:")
}

not_evaluated contains "the object has no pod" if not lib.pod
