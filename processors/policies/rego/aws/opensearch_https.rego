# METADATA
# title: OpenSearch asks for HTTPS
# custom:
#   id: aws-opensearch-https
#   severity: high
#   remediation: "Set domain_endpoint_options.enforce_https to true."
#   resource_types:
#     - aws_opensearch_domain
#     - aws_elasticsearch_domain
#   decides:
#     - domain_endpoint_options.enforce_https
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.opensearch_https

import data.weir.lib

deny contains "HTTP is accepted" if not lib.all_true("domain_endpoint_options.enforce_https")
