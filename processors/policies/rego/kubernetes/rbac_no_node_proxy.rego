# METADATA
# title: Roles do not reach the kubelet through nodes/proxy
# custom:
#   id: kubernetes-rbac-no-node-proxy
#   severity: high
#   remediation: "Take nodes/proxy out of the role; grant nodes/metrics or nodes/stats to what collects metrics."
#   resource_types:
#     - Role
#     - ClusterRole
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-Kubernetes-1.10: ["5.1.10"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.rbac_no_node_proxy

deny contains "the role reaches every container of a node" if {
	some rule in input.config.rules
	some resource in object.get(rule, "resources", [])
	resource in {"nodes/proxy", "nodes/*"}
}
