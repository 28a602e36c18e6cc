# METADATA
# title: S3 buckets refuse requests without TLS
# custom:
#   id: aws-s3-bucket-tls-only
#   severity: medium
#   remediation: "Deny every action where aws:SecureTransport is false in the bucket policy."
#   resource_types:
#     - aws_s3_bucket
#   controls:
#     CIS-AWS-3.0: ["2.1.1"]
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.s3_bucket_tls_only

import data.weir.lib

deny contains "no policy of the bucket denies requests without TLS" if {
	count(tls_only) == 0
	not is_pending
}

not_evaluated contains "the bucket's policy is known only after the change" if {
	count(tls_only) == 0
	is_pending
}

tls_only contains statement if {
	some policy in policies
	some statement in lib.statements_of(policy)
	lower(statement.Effect) == "deny"
	some operator, tests in statement.Condition
	startswith(lower(operator), "bool")
	some key, value in tests
	lower(key) == "aws:securetransport"
	some one in lib.as_list(value)
	lower(sprintf("%v", [one])) == "false"
}

policies contains policy if some policy in lib.values("policy")

policies contains policy if {
	some other in lib.related("aws_s3_bucket_policy", "bucket")
	some policy in lib.values_in(other.config, "policy")
}

is_pending if lib.unknown("policy")

is_pending if {
	some other in lib.related("aws_s3_bucket_policy", "bucket")
	other.unknown.policy == true
}
