# METADATA
# title: Classic load balancers log access
# custom:
#   id: aws-elb-access-logs
#   severity: low
#   remediation: "Add access_logs."
#   resource_types:
#     - aws_elb
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.elb_access_logs

import data.weir.lib

deny contains "access is not logged" if count(lib.blocks("access_logs")) == 0

deny contains "access is not logged" if {
	some block in lib.blocks("access_logs")
	block.enabled == false
}
