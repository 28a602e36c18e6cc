# METADATA
# title: New EBS volumes are encrypted by default
# custom:
#   id: aws-ebs-encryption-by-default
#   severity: medium
#   remediation: "Set enabled to true."
#   resource_types:
#     - aws_ebs_encryption_by_default
#   decides:
#     - enabled
#   denies: present
#   controls:
#     CIS-AWS-3.0: ["2.2.1"]
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.ebs_encryption_by_default

import data.weir.lib

deny contains "encryption by default is off" if {
	some value in lib.values("enabled")
	value == false
}
