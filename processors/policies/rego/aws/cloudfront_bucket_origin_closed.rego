# METADATA
# title: Buckets behind CloudFront are read through it alone
# custom:
#   id: aws-cloudfront-bucket-origin-closed
#   severity: medium
#   remediation: "Set origin_access_control_id, or an origin access identity."
#   resource_types:
#     - aws_cloudfront_distribution
#   decides:
#     - origin.domain_name
#     - origin.origin_access_control_id
#     - origin.s3_origin_config.origin_access_identity
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.cloudfront_bucket_origin_closed

import data.weir.lib

deny contains "a bucket is read without an identity of the distribution" if {
	some origin in lib.blocks("origin")
	regex.match(`\.s3[.-][a-z0-9.-]*amazonaws\.com`, object.get(origin, "domain_name", ""))
	not identified(origin)
}

identified(origin) if origin.origin_access_control_id != ""

identified(origin) if {
	some block in lib.items(object.get(origin, "s3_origin_config", null))
	block.origin_access_identity != ""
}
