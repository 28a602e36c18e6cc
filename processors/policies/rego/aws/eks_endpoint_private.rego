# METADATA
# title: EKS control planes are not open to the internet
# custom:
#   id: aws-eks-endpoint-private
#   severity: high
#   remediation: "Set endpoint_public_access to false, or name public_access_cidrs."
#   resource_types:
#     - aws_eks_cluster
#   decides:
#     - vpc_config.endpoint_public_access
#     - vpc_config.public_access_cidrs
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.eks_endpoint_private

import data.weir.lib

deny contains "the control plane is open to the internet" if {
	not lib.any_in("vpc_config.endpoint_public_access", {false})
	ranges := lib.values("vpc_config.public_access_cidrs")
	is_open(ranges)
}

is_open(ranges) if count(ranges) == 0

is_open(ranges) if {
	some range in ranges
	lib.is_anywhere(range)
}
