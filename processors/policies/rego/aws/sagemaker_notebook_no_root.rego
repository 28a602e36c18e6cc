# METADATA
# title: Users of notebooks are not root
# custom:
#   id: aws-sagemaker-notebook-no-root
#   severity: medium
#   remediation: "Set root_access to Disabled."
#   resource_types:
#     - aws_sagemaker_notebook_instance
#   decides:
#     - root_access
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.aws.sagemaker_notebook_no_root

import data.weir.lib

deny contains "users are root" if not lib.all_in("root_access", {"Disabled"})
