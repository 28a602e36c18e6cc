# METADATA
# title: OpenSearch encrypts traffic between nodes
# custom:
#   id: aws-opensearch-nodes
#   severity: medium
#   remediation: "Set node_to_node_encryption.enabled to true."
#   resource_types:
#     - aws_opensearch_domain
#     - aws_elasticsearch_domain
#   decides:
#     - node_to_node_encryption.enabled
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.opensearch_nodes

import data.weir.lib

deny contains "traffic between nodes is not encrypted" if {
	not lib.all_true("node_to_node_encryption.enabled")
}
