# METADATA
# title: Roles of the cluster do not read secrets
# custom:
#   id: kubernetes-rbac-secrets
#   severity: high
#   remediation: "Grant it in a namespace, for named secrets."
#   resource_types:
#     - ClusterRole
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-Kubernetes-1.10: ["5.1.2"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.rbac_secrets

deny contains "secrets of every namespace may be read" if {
	some rule in input.config.rules
	some resource in object.get(rule, "resources", [])
	resource in {"secrets", "*"}
	some verb in object.get(rule, "verbs", [])
	verb in {"get", "list", "watch", "*"}
	count(object.get(rule, "resourceNames", [])) == 0
}
