# METADATA
# title: Instances are monitored in detail
# custom:
#   id: aws-instance-monitoring
#   severity: low
#   remediation: "Set monitoring to true."
#   resource_types:
#     - aws_instance
#     - aws_launch_template
#   decides:
#     - monitoring
#   controls:
#     CIS-Controls-8: ["13.1"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(1)(ii)(D)"]
#     NIST-800-53r5: ["SI-4"]
#     PCI-DSS-4.0: ["10.4.1"]
#     SOC2: ["CC7.2", "CC7.3"]
package weir.aws.instance_monitoring

import data.weir.lib

deny contains "detailed monitoring is off" if {
	not lib.any_true("monitoring")
	not lib.any_true("monitoring.enabled")
}
