# METADATA
# title: S3 buckets declare their encryption
# custom:
#   id: aws-s3-bucket-encryption
#   severity: medium
#   remediation: "Add an aws_s3_bucket_server_side_encryption_configuration for the bucket."
#   resource_types:
#     - aws_s3_bucket
#   controls:
#     CIS-AWS-3.0: ["2.1.1"]
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.s3_bucket_encryption

import data.weir.lib

deny contains "the bucket declares no server-side encryption" if {
	not inline
	not apart
}

inline if lib.present("server_side_encryption_configuration.rule")

apart if {
	some other in lib.related("aws_s3_bucket_server_side_encryption_configuration", "bucket")
	count(lib.values_in(other.config, "rule")) > 0
}
