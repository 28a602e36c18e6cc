# METADATA
# title: CloudTrail records every region
# custom:
#   id: aws-cloudtrail-all-regions
#   severity: high
#   remediation: "Set is_multi_region_trail to true."
#   resource_types:
#     - aws_cloudtrail
#   decides:
#     - is_multi_region_trail
#   controls:
#     CIS-AWS-3.0: ["3.1"]
#     CIS-Controls-8: ["8.2"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.cloudtrail_all_regions

import data.weir.lib

deny contains "other regions are not recorded" if not lib.all_true("is_multi_region_trail")
