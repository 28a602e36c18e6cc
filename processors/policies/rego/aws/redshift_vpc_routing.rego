# METADATA
# title: Redshift copies data through the VPC
# custom:
#   id: aws-redshift-vpc-routing
#   severity: low
#   remediation: "Set enhanced_vpc_routing to true."
#   resource_types:
#     - aws_redshift_cluster
#   decides:
#     - enhanced_vpc_routing
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.redshift_vpc_routing

import data.weir.lib

deny contains "data is copied through the internet" if not lib.all_true("enhanced_vpc_routing")
