# METADATA
# title: Workgroups of Athena encrypt results
# custom:
#   id: aws-athena-workgroup-encrypted
#   severity: medium
#   remediation: "Add encryption_configuration to configuration.result_configuration."
#   resource_types:
#     - aws_athena_workgroup
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-28", "SC-28(1)"]
#     PCI-DSS-4.0: ["3.5.1"]
#     SOC2: ["CC6.1"]
package weir.aws.athena_workgroup_encrypted

import data.weir.lib

deny contains "results are not encrypted" if {
	not lib.present("configuration.result_configuration.encryption_configuration.encryption_option")
}
