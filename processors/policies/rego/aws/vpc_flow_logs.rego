# METADATA
# title: VPCs log their traffic
# custom:
#   id: aws-vpc-flow-logs
#   severity: medium
#   remediation: "Add an aws_flow_log for the VPC."
#   resource_types:
#     - aws_vpc
#     - aws_default_vpc
#   controls:
#     CIS-AWS-3.0: ["3.7"]
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.vpc_flow_logs

import data.weir.lib

deny contains "no flow log records the traffic of the VPC" if {
	count(lib.related("aws_flow_log", "vpc_id")) == 0
}
