# METADATA
# title: Instance metadata asks for session tokens
# custom:
#   id: aws-instance-metadata-v2
#   severity: high
#   remediation: "Set metadata_options.http_tokens to required."
#   resource_types:
#     - aws_instance
#     - aws_launch_template
#     - aws_launch_configuration
#   decides:
#     - metadata_options.http_tokens
#   controls:
#     CIS-AWS-3.0: ["5.6"]
#     CIS-Controls-8: ["4.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.aws.instance_metadata_v2

import data.weir.lib

deny contains "the metadata service answers without a session token" if {
	not lib.all_in("metadata_options.http_tokens", {"required"})
	not lib.any_in("metadata_options.http_endpoint", {"disabled"})
}
