# METADATA
# title: Snapshots and images are not shared with everybody
# custom:
#   id: aws-snapshot-not-public
#   severity: critical
#   remediation: "Share with named accounts."
#   resource_types:
#     - aws_snapshot_create_volume_permission
#     - aws_ami_launch_permission
#     - aws_db_snapshot
#     - aws_db_cluster_snapshot
#     - aws_db_snapshot_copy
#   decides:
#     - account_id
#     - group
#     - shared_accounts
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.snapshot_not_public

import data.weir.lib

deny contains "it is shared with everybody" if {
	some path in {"account_id", "group", "shared_accounts"}
	some value in lib.values(path)
	lower(value) == "all"
}
