# METADATA
# title: Tags of images cannot be moved
# custom:
#   id: aws-ecr-immutable
#   severity: medium
#   remediation: "Set image_tag_mutability to IMMUTABLE."
#   resource_types:
#     - aws_ecr_repository
#   decides:
#     - image_tag_mutability
#   controls:
#     CIS-Controls-8: ["16.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(8)"]
#     NIST-800-53r5: ["CM-3", "SA-11", "SI-7"]
#     PCI-DSS-4.0: ["6.2.3", "6.5.1"]
#     SOC2: ["CC8.1"]
package weir.aws.ecr_immutable

import data.weir.lib

deny contains "tags can be moved" if {
	not lib.all_in("image_tag_mutability", {"IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION"})
}
