# METADATA
# title: Lambda functions run on supported runtimes
# custom:
#   id: aws-lambda-runtime-supported
#   severity: medium
#   remediation: "Move to a runtime that AWS supports."
#   resource_types:
#     - aws_lambda_function
#   decides:
#     - runtime
#   denies: present
#   controls:
#     CIS-Controls-8: ["7.3", "7.4"]
#     GDPR: ["Art.32(1)(d)"]
#     HIPAA: ["164.308(a)(5)(ii)(B)"]
#     NIST-800-53r5: ["RA-5", "SI-2"]
#     PCI-DSS-4.0: ["6.3.3"]
#     SOC2: ["CC7.1"]
package weir.aws.lambda_runtime_supported

import data.weir.lib

deny contains sprintf("the runtime %s is not supported", [runtime]) if {
	some runtime in lib.values("runtime")
	regex.match(`^(nodejs([468]|1[02468])?(\.x|\.10|\.3)?(-edge)?|python(2\.7|3\.[678])|ruby2\..*|java8|go1\.x|dotnet(core.*|5.*|6|7)|provided)$`, runtime)
}
