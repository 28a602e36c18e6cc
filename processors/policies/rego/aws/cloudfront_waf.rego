# METADATA
# title: CloudFront stands behind a web application firewall
# custom:
#   id: aws-cloudfront-waf
#   severity: medium
#   remediation: "Set web_acl_id."
#   resource_types:
#     - aws_cloudfront_distribution
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.cloudfront_waf

import data.weir.lib

deny contains "no web application firewall is named" if not lib.present("web_acl_id")
