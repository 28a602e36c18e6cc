# METADATA
# title: Buckets use uniform access
# custom:
#   id: gcp-storage-uniform-access
#   severity: medium
#   remediation: "Set uniform_bucket_level_access to true."
#   resource_types:
#     - google_storage_bucket
#   decides:
#     - uniform_bucket_level_access
#   controls:
#     CIS-Controls-8: ["3.3"]
#     CIS-GCP-3.0: ["5.2"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.gcp.storage_uniform_access

import data.weir.lib

deny contains "access lists of objects are in force" if not lib.all_true("uniform_bucket_level_access")
