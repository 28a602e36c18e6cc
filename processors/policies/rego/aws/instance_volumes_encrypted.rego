# METADATA
# title: Volumes of instances are encrypted
# custom:
#   id: aws-instance-volumes-encrypted
#   severity: high
#   remediation: "Set encrypted to true in root_block_device and every ebs_block_device."
#   resource_types:
#     - aws_instance
#     - aws_launch_configuration
#   decides:
#     - root_block_device.encrypted
#     - ebs_block_device.encrypted
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.instance_volumes_encrypted

import data.weir.lib

deny contains "the root volume is not encrypted" if not lib.all_true("root_block_device.encrypted")

deny contains "a volume is not encrypted" if {
	some block in lib.blocks("ebs_block_device")
	not lib.is_true(object.get(block, "encrypted", false))
	not filled(block)
}

# The volume takes the encryption of its snapshot.
filled(block) if block.snapshot_id != ""
