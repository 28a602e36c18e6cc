# METADATA
# title: WorkSpaces encrypt their volumes
# custom:
#   id: aws-workspaces-encrypted
#   severity: medium
#   remediation: "Set root_volume_encryption_enabled and user_volume_encryption_enabled to true."
#   resource_types:
#     - aws_workspaces_workspace
#   decides:
#     - root_volume_encryption_enabled
#     - user_volume_encryption_enabled
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.workspaces_encrypted

import data.weir.lib

deny contains sprintf("%s is not true", [name]) if {
	some name in {"root_volume_encryption_enabled", "user_volume_encryption_enabled"}
	not lib.all_true(name)
}
