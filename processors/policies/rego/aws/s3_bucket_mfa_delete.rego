# METADATA
# title: Versions of S3 objects are deleted only with a second factor
# custom:
#   id: aws-s3-bucket-mfa-delete
#   severity: low
#   remediation: "Set mfa_delete to Enabled in the bucket's versioning."
#   resource_types:
#     - aws_s3_bucket
#   controls:
#     CIS-AWS-3.0: ["2.1.2"]
#     CIS-Controls-8: ["8.9"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(c)(1)"]
#     NIST-800-53r5: ["AU-9", "SI-7"]
#     PCI-DSS-4.0: ["10.3.2", "10.3.4"]
#     SOC2: ["CC7.2"]
package weir.aws.s3_bucket_mfa_delete

import data.weir.lib

deny contains "versions can be deleted without a second factor" if {
	not inline
	not apart
}

inline if lib.any_true("versioning.mfa_delete")

apart if {
	some other in lib.related("aws_s3_bucket_versioning", "bucket")
	"Enabled" in lib.values_in(other.config, "versioning_configuration.mfa_delete")
}
