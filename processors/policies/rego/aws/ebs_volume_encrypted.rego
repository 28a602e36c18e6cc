# METADATA
# title: EBS volumes are encrypted
# custom:
#   id: aws-ebs-volume-encrypted
#   severity: high
#   remediation: "Set encrypted to true."
#   resource_types:
#     - aws_ebs_volume
#     - aws_ebs_snapshot_copy
#   decides:
#     - encrypted
#   controls:
#     CIS-AWS-3.0: ["2.2.1"]
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.ebs_volume_encrypted

import data.weir.lib

deny contains "the volume is not encrypted" if not lib.all_true("encrypted")
