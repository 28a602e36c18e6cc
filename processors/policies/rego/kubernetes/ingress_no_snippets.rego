# METADATA
# title: Ingresses bring no configuration of their own into nginx
# custom:
#   id: kubernetes-ingress-no-snippets
#   severity: high
#   remediation: "Remove annotations that end in -snippet; ask for the option that they stand for."
#   resource_types:
#     - Ingress
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.kubernetes.ingress_no_snippets

deny contains sprintf("the annotation %s brings configuration into the controller", [name]) if {
	some name, _ in input.config.metadata.annotations
	startswith(name, "nginx.ingress.kubernetes.io/")
	endswith(name, "-snippet")
}
