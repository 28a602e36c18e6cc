# METADATA
# title: OpenSearch encrypts data at rest
# custom:
#   id: aws-opensearch-rest
#   severity: high
#   remediation: "Set encrypt_at_rest.enabled to true."
#   resource_types:
#     - aws_opensearch_domain
#     - aws_elasticsearch_domain
#   decides:
#     - encrypt_at_rest.enabled
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.opensearch_rest

import data.weir.lib

deny contains "data at rest is not encrypted" if not lib.all_true("encrypt_at_rest.enabled")
