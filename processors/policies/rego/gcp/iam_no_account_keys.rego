# METADATA
# title: Service accounts have no keys of users
# custom:
#   id: gcp-iam-no-account-keys
#   severity: medium
#   remediation: "Use workload identity federation, or impersonation."
#   resource_types:
#     - google_service_account_key
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     CIS-GCP-3.0: ["1.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.gcp.iam_no_account_keys

import data.weir.lib

deny contains "a long-lived key is created" if not lib.present("public_key_data")
