# METADATA
# title: RDS takes minor upgrades by itself
# custom:
#   id: aws-rds-minor-upgrades
#   severity: low
#   remediation: "Set auto_minor_version_upgrade to true."
#   resource_types:
#     - aws_db_instance
#     - aws_rds_cluster_instance
#   decides:
#     - auto_minor_version_upgrade
#   denies: present
#   controls:
#     CIS-AWS-3.0: ["2.3.2"]
#     CIS-Controls-8: ["7.3", "7.4"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(5)(ii)(B)"]
#     NIST-800-53r5: ["RA-5", "SI-2"]
#     PCI-DSS-4.0: ["6.3.3"]
#     SOC2: ["CC7.1"]
package weir.aws.rds_minor_upgrades

import data.weir.lib

deny contains "minor upgrades are not taken" if {
	some value in lib.values("auto_minor_version_upgrade")
	value == false
}
