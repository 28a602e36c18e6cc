# METADATA
# title: Roles do not create tokens of service accounts
# custom:
#   id: kubernetes-rbac-no-token-creation
#   severity: high
#   remediation: "Take create on serviceaccounts/token out of the role; the kubelet asks for the tokens of pods."
#   resource_types:
#     - Role
#     - ClusterRole
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-Kubernetes-1.10: ["5.1.13"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.rbac_no_token_creation

deny contains "the role creates tokens of service accounts" if {
	some rule in input.config.rules
	some resource in object.get(rule, "resources", [])
	resource in {"serviceaccounts/token", "serviceaccounts/*"}
	some verb in object.get(rule, "verbs", [])
	verb in {"create", "*"}
}
