# METADATA
# title: S3 buckets keep versions of objects
# custom:
#   id: aws-s3-bucket-versioning
#   severity: medium
#   remediation: "Add an aws_s3_bucket_versioning with status Enabled."
#   resource_types:
#     - aws_s3_bucket
#   controls:
#     CIS-Controls-8: ["11.2"]
#     GDPR: ["Art.32(1)(c)"]
#     HIPAA: ["164.308(a)(7)(ii)(A)"]
#     NIST-800-53r5: ["CP-9"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.aws.s3_bucket_versioning

import data.weir.lib

deny contains "the bucket keeps no versions of its objects" if {
	not inline
	not apart
}

inline if lib.any_true("versioning.enabled")

apart if {
	some other in lib.related("aws_s3_bucket_versioning", "bucket")
	"Enabled" in lib.values_in(other.config, "versioning_configuration.status")
}
