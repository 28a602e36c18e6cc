# METADATA
# title: CloudFront reaches origins over TLS
# custom:
#   id: aws-cloudfront-origin-tls
#   severity: medium
#   remediation: "Set origin_protocol_policy to https-only."
#   resource_types:
#     - aws_cloudfront_distribution
#   decides:
#     - origin.custom_origin_config.origin_protocol_policy
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.cloudfront_origin_tls

import data.weir.lib

deny contains "an origin is reached without TLS" if {
	lib.any_in("origin.custom_origin_config.origin_protocol_policy", {"http-only", "match-viewer"})
}
