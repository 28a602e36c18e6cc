# METADATA
# title: ECR encrypts with keys of KMS
# custom:
#   id: aws-ecr-kms
#   severity: low
#   remediation: "Set encryption_configuration.encryption_type to KMS."
#   resource_types:
#     - aws_ecr_repository
#   decides:
#     - encryption_configuration.encryption_type
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.aws.ecr_kms

import data.weir.lib

deny contains "images are not encrypted with a key of KMS" if {
	not lib.all_in("encryption_configuration.encryption_type", {"KMS", "KMS_DSSE"})
}
