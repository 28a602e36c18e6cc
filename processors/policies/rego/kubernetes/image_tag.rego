# METADATA
# title: Images name a version
# custom:
#   id: kubernetes-image-tag
#   severity: medium
#   remediation: "Name a version or a digest in image."
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
package weir.kubernetes.image_tag

import data.weir.lib

deny contains sprintf("the container %s names no version of its image", [container.name]) if {
	some container in lib.containers
	not is_versioned(object.get(container, "image", ""))
}

is_versioned(image) if contains(image, "@sha256:")

is_versioned(image) if {
	parts := split(image, "/")
	last := parts[count(parts) - 1]
	named := split(last, ":")
	count(named) == 2
	not named[1] in {"latest", ""}
}

not_evaluated contains "the object has no pod" if not lib.pod
