# METADATA
# title: Roles do not let their holder gain more
# custom:
#   id: kubernetes-rbac-no-escalation
#   severity: high
#   remediation: "Leave the verbs escalate, bind and impersonate out."
#   resource_types:
#     - Role
#     - ClusterRole
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-Kubernetes-1.10: ["5.1.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.rbac_no_escalation

deny contains sprintf("the role allows %s", [verb]) if {
	some rule in input.config.rules
	some verb in object.get(rule, "verbs", [])
	verb in {"escalate", "bind", "impersonate"}
}
