# METADATA
# title: S3 buckets encrypt with keys of KMS
# custom:
#   id: aws-s3-bucket-kms
#   severity: low
#   remediation: "Set sse_algorithm to aws:kms and name a key."
#   resource_types:
#     - aws_s3_bucket
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.aws.s3_bucket_kms

import data.weir.lib

deny contains "the bucket does not encrypt with a key of KMS" if {
	not inline
	not apart
}

inline if lib.any_in("server_side_encryption_configuration.rule.apply_server_side_encryption_by_default.sse_algorithm", {"aws:kms", "aws:kms:dsse"})

apart if {
	some other in lib.related("aws_s3_bucket_server_side_encryption_configuration", "bucket")
	some algorithm in lib.values_in(other.config, "rule.apply_server_side_encryption_by_default.sse_algorithm")
	startswith(algorithm, "aws:kms")
}
