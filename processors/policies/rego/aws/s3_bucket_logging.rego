# METADATA
# title: S3 buckets log access
# custom:
#   id: aws-s3-bucket-logging
#   severity: low
#   remediation: "Add an aws_s3_bucket_logging for the bucket."
#   resource_types:
#     - aws_s3_bucket
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.s3_bucket_logging

import data.weir.lib

deny contains "access to the bucket is not logged" if {
	not inline
	not apart
}

inline if lib.present("logging.target_bucket")

apart if {
	some other in lib.related("aws_s3_bucket_logging", "bucket")
	other.config != {}
}
