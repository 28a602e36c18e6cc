# METADATA
# title: Access keys are not created for users
# custom:
#   id: aws-iam-no-access-keys
#   severity: medium
#   remediation: "Use roles and IAM Identity Center; for workloads elsewhere, IAM Roles Anywhere or OIDC."
#   resource_types:
#     - aws_iam_access_key
#   denies: present
#   controls:
#     CIS-Controls-8: ["5.2", "6.3"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(d)"]
#     NIST-800-53r5: ["IA-2", "IA-5"]
#     PCI-DSS-4.0: ["8.3.1"]
#     SOC2: ["CC6.1"]
package weir.aws.iam_no_access_keys

import data.weir.lib

deny contains "a long-lived key is created" if not lib.any_in("status", {"Inactive"})
