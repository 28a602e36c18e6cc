# METADATA
# title: EKS encrypts secrets with a key of KMS
# custom:
#   id: aws-eks-secrets-encrypted
#   severity: high
#   remediation: "Add encryption_config with resources secrets."
#   resource_types:
#     - aws_eks_cluster
#   decides:
#     - encryption_config.resources
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.eks_secrets_encrypted

import data.weir.lib

deny contains "secrets are not encrypted with a key of KMS" if {
	not "secrets" in lib.values("encryption_config.resources")
}
