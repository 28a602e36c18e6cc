# METADATA
# title: Web access lists log requests
# custom:
#   id: aws-waf-logging
#   severity: low
#   remediation: "Add an aws_wafv2_web_acl_logging_configuration."
#   resource_types:
#     - aws_wafv2_web_acl
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.waf_logging

import data.weir.lib

deny contains "requests are not logged" if {
	count(lib.related("aws_wafv2_web_acl_logging_configuration", "resource_arn")) == 0
}
