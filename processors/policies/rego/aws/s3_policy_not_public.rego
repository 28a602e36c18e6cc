# METADATA
# title: Policies of S3 buckets do not allow anybody
# custom:
#   id: aws-s3-policy-not-public
#   severity: critical
#   remediation: "Name the principals, or add a condition on the organisation, account or network."
#   resource_types:
#     - aws_s3_bucket
#     - aws_s3_bucket_policy
#   decides:
#     - policy
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.s3_policy_not_public

import data.weir.lib

deny contains "the policy allows anybody" if {
	some statement in lib.statements("policy")
	lib.is_public(statement)
}
