# METADATA
# title: Launch templates encrypt volumes
# custom:
#   id: aws-launch-template-volumes-encrypted
#   severity: high
#   remediation: "Set encrypted to true in every ebs block."
#   resource_types:
#     - aws_launch_template
#   decides:
#     - block_device_mappings.ebs.encrypted
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.launch_template_volumes_encrypted

import data.weir.lib

deny contains "a volume of the template is not encrypted" if {
	some block in lib.values("block_device_mappings.ebs")
	not lib.is_true(object.get(block, "encrypted", false))
}
