# METADATA
# title: Network policies do not allow everything
# custom:
#   id: kubernetes-network-policy-narrow
#   severity: medium
#   remediation: "Name pods, namespaces or networks in from."
#   resource_types:
#     - NetworkPolicy
#   controls:
#     CIS-Controls-8: ["4.4"]
#     CIS-Kubernetes-1.10: ["5.3.2"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.kubernetes.network_policy_narrow

deny contains "the policy lets everybody in" if {
	some rule in input.config.spec.ingress
	sources := object.get(rule, "from", [])
	is_open(sources)
}

is_open(sources) if count(sources) == 0

is_open(sources) if {
	some source in sources
	source.ipBlock.cidr in {"0.0.0.0/0", "::/0"}
	count(object.get(source.ipBlock, "except", [])) == 0
}
