# METADATA
# title: Blocks of public access to S3 are complete
# custom:
#   id: aws-s3-public-access-block-complete
#   severity: high
#   remediation: >-
#     Set block_public_acls, block_public_policy, ignore_public_acls and restrict_public_buckets to true.
#   resource_types:
#     - aws_s3_bucket_public_access_block
#     - aws_s3_account_public_access_block
#   decides:
#     - block_public_acls
#     - block_public_policy
#     - ignore_public_acls
#     - restrict_public_buckets
#   controls:
#     CIS-AWS-3.0: ["2.1.4"]
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.s3_public_access_block_complete

import data.weir.lib

deny contains sprintf("%s is not true", [name]) if {
	some name in {"block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"}
	not lib.all_true(name)
}
