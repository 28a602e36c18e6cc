# METADATA
# title: Redshift takes new versions by itself
# custom:
#   id: aws-redshift-upgrades
#   severity: low
#   remediation: "Set allow_version_upgrade to true."
#   resource_types:
#     - aws_redshift_cluster
#   decides:
#     - allow_version_upgrade
#   denies: present
#   controls:
#     CIS-Controls-8: ["7.3", "7.4"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(5)(ii)(B)"]
#     NIST-800-53r5: ["RA-5", "SI-2"]
#     PCI-DSS-4.0: ["6.3.3"]
#     SOC2: ["CC7.1"]
package weir.aws.redshift_upgrades

import data.weir.lib

deny contains "new versions are not taken" if {
	some value in lib.values("allow_version_upgrade")
	value == false
}
