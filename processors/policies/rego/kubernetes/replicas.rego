# METADATA
# title: Deployments run two replicas or more
# custom:
#   id: kubernetes-replicas
#   severity: low
#   remediation: "Set spec.replicas to 2 or more."
#   resource_types:
#     - Deployment
#     - StatefulSet
#   controls:
#     CIS-Controls-8: ["11.1"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(7)(i)"]
#     NIST-800-53r5: ["CP-10", "SC-5"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.kubernetes.replicas

deny contains "one replica is no spare" if object.get(input.config.spec, "replicas", 1) < 2
