# METADATA
# title: Redshift is encrypted
# custom:
#   id: aws-redshift-encrypted
#   severity: high
#   remediation: "Set encrypted to true."
#   resource_types:
#     - aws_redshift_cluster
#   decides:
#     - encrypted
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.redshift_encrypted

import data.weir.lib

deny contains "the cluster is not encrypted" if not lib.all_true("encrypted")
