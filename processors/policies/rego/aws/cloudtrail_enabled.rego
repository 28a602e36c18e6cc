# METADATA
# title: CloudTrail is on and records global services
# custom:
#   id: aws-cloudtrail-enabled
#   severity: high
#   remediation: "Set enable_logging and include_global_service_events to true."
#   resource_types:
#     - aws_cloudtrail
#   decides:
#     - enable_logging
#   denies: present
#   controls:
#     CIS-AWS-3.0: ["3.1"]
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.cloudtrail_enabled

import data.weir.lib

deny contains sprintf("%s is false", [name]) if {
	some name in {"enable_logging", "include_global_service_events"}
	some value in lib.values(name)
	value == false
}
