# METADATA
# title: Services take over no addresses by externalIPs
# custom:
#   id: kubernetes-service-no-external-ips
#   severity: high
#   remediation: "Remove spec.externalIPs; publish the service by a load balancer or an ingress."
#   resource_types:
#     - Service
#   controls:
#     CIS-Controls-8: ["4.4", "12.2"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.kubernetes.service_no_external_ips

deny contains sprintf("traffic to %s goes to the service", [address]) if {
	some address in input.config.spec.externalIPs
}
