# METADATA
# title: OpenSearch stands in a VPC
# custom:
#   id: aws-opensearch-vpc
#   severity: high
#   remediation: "Add vpc_options."
#   resource_types:
#     - aws_opensearch_domain
#     - aws_elasticsearch_domain
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.opensearch_vpc

import data.weir.lib

deny contains "the domain is reachable from the internet" if count(lib.blocks("vpc_options")) == 0
