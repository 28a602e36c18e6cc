# METADATA
# title: Notebooks have no direct way to the internet
# custom:
#   id: aws-sagemaker-notebook-private
#   severity: high
#   remediation: "Set direct_internet_access to Disabled and name a subnet."
#   resource_types:
#     - aws_sagemaker_notebook_instance
#   decides:
#     - direct_internet_access
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.aws.sagemaker_notebook_private

import data.weir.lib

deny contains "the notebook reaches the internet directly" if {
	not lib.all_in("direct_internet_access", {"Disabled"})
}
