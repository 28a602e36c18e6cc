# METADATA
# title: GuardDuty is on
# custom:
#   id: aws-guardduty-enabled
#   severity: medium
#   remediation: "Set enable to true."
#   resource_types:
#     - aws_guardduty_detector
#   decides:
#     - enable
#   denies: present
#   controls:
#     CIS-Controls-8: ["13.1"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(1)(ii)(D)"]
#     NIST-800-53r5: ["SI-4"]
#     PCI-DSS-4.0: ["10.4.1"]
#     SOC2: ["CC7.2", "CC7.3"]
package weir.aws.guardduty_enabled

import data.weir.lib

deny contains "GuardDuty is off" if {
	some value in lib.values("enable")
	value == false
}
