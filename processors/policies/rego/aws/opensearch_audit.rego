# METADATA
# title: OpenSearch writes audit logs
# custom:
#   id: aws-opensearch-audit
#   severity: low
#   remediation: "Add log_publishing_options of type AUDIT_LOGS."
#   resource_types:
#     - aws_opensearch_domain
#     - aws_elasticsearch_domain
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.opensearch_audit

import data.weir.lib

deny contains "no audit log is written" if {
	found := [1 |
		some block in lib.blocks("log_publishing_options")
		block.log_type == "AUDIT_LOGS"
		not object.get(block, "enabled", true) == false
	]
	count(found) == 0
}
