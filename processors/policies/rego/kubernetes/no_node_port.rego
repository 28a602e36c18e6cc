# METADATA
# title: Services take no ports of nodes
# custom:
#   id: kubernetes-no-node-port
#   severity: low
#   remediation: "Use ClusterIP behind an ingress."
#   resource_types:
#     - Service
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.kubernetes.no_node_port

deny contains "the service takes a port of every node" if input.config.spec.type == "NodePort"
