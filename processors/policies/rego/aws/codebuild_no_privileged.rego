# METADATA
# title: CodeBuild does not run privileged
# custom:
#   id: aws-codebuild-no-privileged
#   severity: medium
#   remediation: "Set environment.privileged_mode to false."
#   resource_types:
#     - aws_codebuild_project
#   decides:
#     - environment.privileged_mode
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.aws.codebuild_no_privileged

import data.weir.lib

deny contains "builds run privileged" if lib.any_true("environment.privileged_mode")
