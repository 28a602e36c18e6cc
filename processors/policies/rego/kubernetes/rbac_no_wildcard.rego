# METADATA
# title: Roles name verbs and resources
# custom:
#   id: kubernetes-rbac-no-wildcard
#   severity: high
#   remediation: "List the verbs and resources that are needed."
#   resource_types:
#     - Role
#     - ClusterRole
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-Kubernetes-1.10: ["5.1.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.rbac_no_wildcard

deny contains sprintf("the role allows every one of %s", [name]) if {
	some rule in input.config.rules
	some name in {"verbs", "resources"}
	"*" in object.get(rule, name, [])
}
