# METADATA
# title: Nobody is bound to cluster-admin
# custom:
#   id: kubernetes-rbac-no-cluster-admin
#   severity: high
#   remediation: "Bind a role with the verbs that are needed."
#   resource_types:
#     - ClusterRoleBinding
#     - RoleBinding
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-Kubernetes-1.10: ["5.1.1"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.rbac_no_cluster_admin

deny contains "cluster-admin is bound" if {
	input.config.roleRef.name == "cluster-admin"
	some subject in input.config.subjects
	subject.name != "system:masters"
}
