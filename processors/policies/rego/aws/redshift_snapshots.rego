# METADATA
# title: Redshift keeps snapshots for a week or more
# custom:
#   id: aws-redshift-snapshots
#   severity: medium
#   remediation: "Set automated_snapshot_retention_period to 7 or more."
#   resource_types:
#     - aws_redshift_cluster
#   decides:
#     - automated_snapshot_retention_period
#   controls:
#     CIS-Controls-8: ["11.2"]
#     GDPR: ["Art.32(1)(c)"]
#     HIPAA: ["164.308(a)(7)(ii)(A)"]
#     NIST-800-53r5: ["CP-9"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.aws.redshift_snapshots

import data.weir.lib

deny contains "snapshots are kept for less than 7 days" if {
	lib.number("automated_snapshot_retention_period", 1) < 7
}
