# METADATA
# title: CloudFront refuses TLS before 1.2
# custom:
#   id: aws-cloudfront-tls-version
#   severity: medium
#   remediation: "Set minimum_protocol_version to TLSv1.2_2021 with a certificate of your own."
#   resource_types:
#     - aws_cloudfront_distribution
#   decides:
#     - viewer_certificate.minimum_protocol_version
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.cloudfront_tls_version

import data.weir.lib

deny contains "TLS before 1.2 is accepted" if {
	not startswith(lib.value("viewer_certificate.minimum_protocol_version", "TLSv1"), "TLSv1.2")
	not startswith(lib.value("viewer_certificate.minimum_protocol_version", "TLSv1"), "TLSv1.3")
}
