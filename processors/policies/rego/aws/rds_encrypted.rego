# METADATA
# title: RDS encrypts its storage
# custom:
#   id: aws-rds-encrypted
#   severity: high
#   remediation: "Set storage_encrypted to true."
#   resource_types:
#     - aws_db_instance
#     - aws_rds_cluster
#     - aws_rds_global_cluster
#   decides:
#     - storage_encrypted
#   controls:
#     CIS-AWS-3.0: ["2.3.1"]
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.rds_encrypted

import data.weir.lib

deny contains "the storage is not encrypted" if {
	not lib.all_true("storage_encrypted")
	not inherits
}

# A replica and a member of a cluster take the encryption of their source.
inherits if lib.present("replicate_source_db")

inherits if lib.present("snapshot_identifier")

inherits if lib.present("source_db_cluster_identifier")

inherits if lib.any_in("engine_mode", {"serverless"})
