# METADATA
# title: Services are not open to the internet by themselves
# custom:
#   id: kubernetes-service-not-public
#   severity: medium
#   remediation: "Use ClusterIP behind an ingress, or an internal load balancer."
#   resource_types:
#     - Service
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.kubernetes.service_not_public

deny contains "the load balancer takes connections from everywhere" if {
	input.config.spec.type == "LoadBalancer"
	not is_internal
	not is_restricted
}

deny contains "external addresses lead to the service" if {
	count(object.get(input.config.spec, "externalIPs", [])) > 0
}

is_internal if {
	some name, value in object.get(input.config.metadata, "annotations", {})
	regex.match(`(?i)internal|load-balancer-type|scheme`, name)
	lower(value) in {"true", "internal", "private", "0.0.0.0/0"}
}

is_restricted if {
	ranges := object.get(input.config.spec, "loadBalancerSourceRanges", [])
	count(ranges) > 0
	not "0.0.0.0/0" in ranges
	not "::/0" in ranges
}
