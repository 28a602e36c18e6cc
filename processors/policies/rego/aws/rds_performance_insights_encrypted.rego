# METADATA
# title: Performance Insights encrypt with a key of yours
# custom:
#   id: aws-rds-performance-insights-encrypted
#   severity: low
#   remediation: "Set performance_insights_kms_key_id."
#   resource_types:
#     - aws_db_instance
#     - aws_rds_cluster_instance
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.aws.rds_performance_insights_encrypted

import data.weir.lib

deny contains "the insights are encrypted with a shared key" if {
	lib.any_true("performance_insights_enabled")
	not lib.present("performance_insights_kms_key_id")
}
