# METADATA
# title: EKS control planes log
# custom:
#   id: aws-eks-logging
#   severity: medium
#   remediation: "Set enabled_cluster_log_types to api, audit, authenticator, controllerManager, scheduler."
#   resource_types:
#     - aws_eks_cluster
#   decides:
#     - enabled_cluster_log_types
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.eks_logging

import data.weir.lib

deny contains sprintf("the log %s is off", [name]) if {
	some name in {"api", "audit", "authenticator"}
	not name in lib.values("enabled_cluster_log_types")
}
