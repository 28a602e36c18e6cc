# METADATA
# title: Load balancers log access
# custom:
#   id: aws-lb-access-logs
#   severity: low
#   remediation: "Set access_logs.enabled to true."
#   resource_types:
#     - aws_lb
#     - aws_alb
#   decides:
#     - access_logs.enabled
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.lb_access_logs

import data.weir.lib

applies if not lib.any_in("load_balancer_type", {"gateway"})

deny contains "access is not logged" if not lib.all_true("access_logs.enabled")
