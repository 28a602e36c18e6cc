# METADATA
# title: Load balancers drop malformed headers
# custom:
#   id: aws-lb-drop-invalid-headers
#   severity: medium
#   remediation: "Set drop_invalid_header_fields to true."
#   resource_types:
#     - aws_lb
#     - aws_alb
#   decides:
#     - drop_invalid_header_fields
#   controls:
#     CIS-Controls-8: ["4.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(1)(ii)(B)"]
#     NIST-800-53r5: ["CM-6", "CM-7"]
#     PCI-DSS-4.0: ["2.2.1"]
#     SOC2: ["CC7.1"]
package weir.aws.lb_drop_invalid_headers

import data.weir.lib

applies if lib.value("load_balancer_type", "application") == "application"

deny contains "malformed headers are passed on" if not lib.all_true("drop_invalid_header_fields")
