# METADATA
# title: AWS Config records every resource
# custom:
#   id: aws-config-recorder-complete
#   severity: medium
#   remediation: "Set recording_group.all_supported and include_global_resource_types to true."
#   resource_types:
#     - aws_config_configuration_recorder
#   decides:
#     - recording_group.all_supported
#     - recording_group.include_global_resource_types
#   controls:
#     CIS-AWS-3.0: ["3.3"]
#     CIS-Controls-8: ["13.1"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(1)(ii)(D)"]
#     NIST-800-53r5: ["SI-4"]
#     PCI-DSS-4.0: ["10.4.1"]
#     SOC2: ["CC7.2", "CC7.3"]
package weir.aws.config_recorder_complete

import data.weir.lib

deny contains sprintf("%s is not true", [name]) if {
	some name in {"all_supported", "include_global_resource_types"}
	not lib.all_true(concat(".", ["recording_group", name]))
}
