# METADATA
# title: Clusters of EMR have a security configuration
# custom:
#   id: aws-emr-encrypted
#   severity: medium
#   remediation: "Set security_configuration."
#   resource_types:
#     - aws_emr_cluster
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.emr_encrypted

import data.weir.lib

deny contains "data of the cluster is not encrypted" if not lib.present("security_configuration")
