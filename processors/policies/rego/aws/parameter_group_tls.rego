# METADATA
# title: Parameter groups of databases ask for TLS
# custom:
#   id: aws-parameter-group-tls
#   severity: medium
#   remediation: "Set require_ssl (Redshift), rds.force_ssl (PostgreSQL, SQL Server) or require_secure_transport (MySQL) to on."
#   resource_types:
#     - aws_redshift_parameter_group
#     - aws_db_parameter_group
#     - aws_rds_cluster_parameter_group
#   decides:
#     - parameter
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.parameter_group_tls

import data.weir.lib

deny contains sprintf("%s is %s", [parameter.name, parameter.value]) if {
	some parameter in lib.blocks("parameter")
	lower(parameter.name) in {"require_ssl", "rds.force_ssl", "require_secure_transport"}
	not lower(parameter.value) in {"1", "on", "true"}
}
