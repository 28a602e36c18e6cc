# METADATA
# title: Load balancers are protected from deletion
# custom:
#   id: aws-lb-deletion-protection
#   severity: low
#   remediation: "Set enable_deletion_protection to true."
#   resource_types:
#     - aws_lb
#     - aws_alb
#   decides:
#     - enable_deletion_protection
#   controls:
#     CIS-Controls-8: ["11.1"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(7)(i)"]
#     NIST-800-53r5: ["CP-10", "SC-5"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.aws.lb_deletion_protection

import data.weir.lib

deny contains "the load balancer can be deleted by mistake" if {
	not lib.all_true("enable_deletion_protection")
}
