# METADATA
# title: DocumentDB and Neptune are encrypted
# custom:
#   id: aws-cluster-storage-encrypted
#   severity: high
#   remediation: "Set storage_encrypted to true."
#   resource_types:
#     - aws_docdb_cluster
#     - aws_neptune_cluster
#   decides:
#     - storage_encrypted
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.cluster_storage_encrypted

import data.weir.lib

deny contains "the storage is not encrypted" if not lib.all_true("storage_encrypted")
