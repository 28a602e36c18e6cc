# METADATA
# title: Nobody unknown is bound to a role
# custom:
#   id: kubernetes-rbac-no-anonymous
#   severity: critical
#   remediation: "Name users, groups or service accounts."
#   resource_types:
#     - ClusterRoleBinding
#     - RoleBinding
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.kubernetes.rbac_no_anonymous

deny contains sprintf("%s has the role", [subject.name]) if {
	some subject in input.config.subjects
	subject.name in {"system:anonymous", "system:unauthenticated", "system:authenticated"}
	not input.config.roleRef.name in {"system:public-info-viewer", "system:discovery", "system:basic-user"}
}
