# METADATA
# title: Routes to the internet do not lead through peerings
# custom:
#   id: aws-vpc-peering-routes-narrow
#   severity: low
#   remediation: "Name the network of the peer."
#   resource_types:
#     - aws_route
#   denies: present
#   controls:
#     CIS-AWS-3.0: ["5.5"]
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.vpc_peering_routes_narrow

import data.weir.lib

deny contains "the route sends everything through a peering" if {
	lib.present("vpc_peering_connection_id")
	some path in {"destination_cidr_block", "destination_ipv6_cidr_block"}
	some range in lib.values(path)
	lib.is_anywhere(range)
}
