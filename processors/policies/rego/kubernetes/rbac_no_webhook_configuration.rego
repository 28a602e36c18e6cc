# METADATA
# title: Roles do not change admission webhooks
# custom:
#   id: kubernetes-rbac-no-webhook-configuration
#   severity: high
#   remediation: "Leave webhook configurations to the cluster's administrators."
#   resource_types:
#     - ClusterRole
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-Kubernetes-1.10: ["5.1.12"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.rbac_no_webhook_configuration

deny contains sprintf("the role may %s %s", [verb, resource]) if {
	some rule in input.config.rules
	some resource in object.get(rule, "resources", [])
	resource in {"validatingwebhookconfigurations", "mutatingwebhookconfigurations"}
	some verb in object.get(rule, "verbs", [])
	verb in {"create", "update", "patch", "delete", "deletecollection", "*"}
}
