# METADATA
# title: Pods set safe kernel parameters only
# custom:
#   id: kubernetes-safe-sysctls
#   severity: medium
#   remediation: "Leave securityContext.sysctls out."
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
package weir.kubernetes.safe_sysctls

import data.weir.lib

deny contains sprintf("the kernel parameter %s is set", [one.name]) if {
	some one in lib.pod.securityContext.sysctls
	not one.name in {
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
		"net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
	}
}

not_evaluated contains "the object has no pod" if not lib.pod
