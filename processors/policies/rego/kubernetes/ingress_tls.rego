# METADATA
# title: Ingresses serve TLS
# custom:
#   id: kubernetes-ingress-tls
#   severity: medium
#   remediation: "Set spec.tls."
#   resource_types:
#     - Ingress
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.kubernetes.ingress_tls

deny contains "the ingress serves without TLS" if count(object.get(input.config.spec, "tls", [])) == 0

deny contains "HTTP is allowed" if {
	input.config.metadata.annotations["kubernetes.io/ingress.allow-http"] == "true"
}
