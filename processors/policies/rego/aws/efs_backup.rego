# METADATA
# title: EFS is backed up
# custom:
#   id: aws-efs-backup
#   severity: low
#   remediation: "Add an aws_efs_backup_policy with status ENABLED."
#   resource_types:
#     - aws_efs_file_system
#   controls:
#     CIS-Controls-8: ["11.2"]
#     GDPR: ["Art.32(1)(c)"]
#     HIPAA: ["164.308(a)(7)(ii)(A)"]
#     NIST-800-53r5: ["CP-9"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.aws.efs_backup

import data.weir.lib

deny contains "the file system is not backed up" if count(backed_up) == 0

backed_up contains other if {
	some other in lib.related("aws_efs_backup_policy", "file_system_id")
	"ENABLED" in lib.values_in(other.config, "backup_policy.status")
}
