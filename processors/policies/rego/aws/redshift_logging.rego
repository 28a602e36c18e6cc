# METADATA
# title: Redshift logs queries and connections
# custom:
#   id: aws-redshift-logging
#   severity: medium
#   remediation: "Add an aws_redshift_logging, or logging with enable true."
#   resource_types:
#     - aws_redshift_cluster
#   decides:
#     - logging.enable
#   controls:
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.redshift_logging

import data.weir.lib

deny contains "the cluster does not log" if {
	not lib.any_true("logging.enable")
	count(lib.related("aws_redshift_logging", "cluster_identifier")) == 0
}
