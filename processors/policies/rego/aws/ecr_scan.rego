# METADATA
# title: ECR scans images
# custom:
#   id: aws-ecr-scan
#   severity: medium
#   remediation: "Set image_scanning_configuration.scan_on_push to true."
#   resource_types:
#     - aws_ecr_repository
#   decides:
#     - image_scanning_configuration.scan_on_push
#   controls:
#     CIS-Controls-8: ["7.3", "7.4"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(5)(ii)(B)"]
#     NIST-800-53r5: ["RA-5", "SI-2"]
#     PCI-DSS-4.0: ["6.3.3"]
#     SOC2: ["CC7.1"]
package weir.aws.ecr_scan

import data.weir.lib

deny contains "images are not scanned" if not lib.all_true("image_scanning_configuration.scan_on_push")
