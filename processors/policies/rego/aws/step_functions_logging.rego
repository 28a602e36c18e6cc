# METADATA
# title: State machines of Step Functions log
# custom:
#   id: aws-step-functions-logging
#   severity: medium
#   remediation: "Set logging_configuration with a level other than OFF."
#   resource_types:
#     - aws_sfn_state_machine
#   decides:
#     - logging_configuration.level
#   controls:
#     CIS-Controls-8: ["8.2", "8.5"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.312(b)"]
#     NIST-800-53r5: ["AU-2", "AU-12"]
#     PCI-DSS-4.0: ["10.2.1"]
#     SOC2: ["CC7.2"]
package weir.aws.step_functions_logging

import data.weir.lib

deny contains "executions are not logged" if {
	not lib.any_in("logging_configuration.level", {"ALL", "ERROR", "FATAL"})
}
