# METADATA
# title: Buckets keep versions of objects
# custom:
#   id: gcp-storage-versioning
#   severity: low
#   remediation: "Set versioning.enabled to true."
#   resource_types:
#     - google_storage_bucket
#   decides:
#     - versioning.enabled
#   controls:
#     CIS-Controls-8: ["11.2"]
#     GDPR: ["Art.32(1)(c)"]
#     HIPAA: ["164.308(a)(7)(ii)(A)"]
#     NIST-800-53r5: ["CP-9"]
#     PCI-DSS-4.0: ["12.10.1"]
#     SOC2: ["A1.2"]
package weir.gcp.storage_versioning

import data.weir.lib

deny contains "no versions are kept" if not lib.all_true("versioning.enabled")
