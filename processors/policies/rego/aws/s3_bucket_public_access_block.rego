# METADATA
# title: S3 buckets block public access
# custom:
#   id: aws-s3-bucket-public-access-block
#   severity: high
#   remediation: "Add an aws_s3_bucket_public_access_block with all four settings true."
#   resource_types:
#     - aws_s3_bucket
#   controls:
#     CIS-AWS-3.0: ["2.1.4"]
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.s3_bucket_public_access_block

import data.weir.lib

deny contains "public access to the bucket is not blocked" if count(blocking) == 0

blocking contains other if {
	some kind in {"aws_s3_bucket_public_access_block", "aws_s3_account_public_access_block"}
	some other in lib.resources(kind)
	is_ours(other)
	every name in settings {
		lib.is_true(other.config[name])
	}
}

is_ours(other) if other.resource.type == "aws_s3_account_public_access_block"

is_ours(other) if lib.points_here(other, "bucket")

settings := {"block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"}
