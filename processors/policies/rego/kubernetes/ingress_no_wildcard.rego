# METADATA
# title: Ingresses name their hosts
# custom:
#   id: kubernetes-ingress-no-wildcard
#   severity: low
#   remediation: "Name the host."
#   resource_types:
#     - Ingress
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.kubernetes.ingress_no_wildcard

deny contains "the ingress takes every host" if {
	some rule in input.config.spec.rules
	host := object.get(rule, "host", "")
	is_wild(host)
}

is_wild(host) if host == ""

is_wild(host) if contains(host, "*")
