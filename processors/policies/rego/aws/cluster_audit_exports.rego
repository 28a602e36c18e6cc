# METADATA
# title: DocumentDB and Neptune export their audit logs
# custom:
#   id: aws-cluster-audit-exports
#   severity: medium
#   remediation: "Name audit among the exported logs, and turn auditing on in the parameter group."
#   resource_types:
#     - aws_docdb_cluster
#     - aws_neptune_cluster
#   decides:
#     - enabled_cloudwatch_logs_exports
#     - enable_cloudwatch_logs_exports
#   controls:
#     CIS-Controls-8: ["8.2", "8.5"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.cluster_audit_exports

import data.weir.lib

deny contains "audit logs are not exported" if not exported

exported if {
	some path in {"enabled_cloudwatch_logs_exports", "enable_cloudwatch_logs_exports"}
	lib.any_in(path, {"audit"})
}
