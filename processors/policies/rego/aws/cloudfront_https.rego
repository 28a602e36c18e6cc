# METADATA
# title: CloudFront asks viewers for HTTPS
# custom:
#   id: aws-cloudfront-https
#   severity: high
#   remediation: "Set viewer_protocol_policy to redirect-to-https or https-only."
#   resource_types:
#     - aws_cloudfront_distribution
#   decides:
#     - default_cache_behavior.viewer_protocol_policy
#     - ordered_cache_behavior.viewer_protocol_policy
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.cloudfront_https

import data.weir.lib

deny contains "viewers may use HTTP" if {
	some path in {"default_cache_behavior.viewer_protocol_policy", "ordered_cache_behavior.viewer_protocol_policy"}
	some policy in lib.values(path)
	not policy in {"redirect-to-https", "https-only"}
}
