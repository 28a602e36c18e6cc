# METADATA
# title: Access lists of S3 buckets name no groups of anybody
# custom:
#   id: aws-s3-acl-not-public
#   severity: critical
#   remediation: "Set acl to private and remove grants to AllUsers and AuthenticatedUsers."
#   resource_types:
#     - aws_s3_bucket
#     - aws_s3_bucket_acl
#     - aws_s3_bucket_object
#     - aws_s3_object
#   decides:
#     - acl
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.s3_acl_not_public

import data.weir.lib

deny contains sprintf("the access list is %s", [acl]) if {
	some acl in lib.values("acl")
	acl in {"public-read", "public-read-write", "authenticated-read", "website"}
}

deny contains "the access list grants to a group of anybody" if {
	some path in {"grant.uri", "access_control_policy.grant.grantee.uri"}
	some group in lib.values(path)
	some name in {"global/AllUsers", "global/AuthenticatedUsers"}
	endswith(group, name)
}
