# METADATA
# title: Repositories look for secrets
# custom:
#   id: github-secret-scanning
#   severity: high
#   remediation: "Set security_and_analysis.secret_scanning.status to enabled."
#   resource_types:
#     - github_repository
#   decides:
#     - security_and_analysis.secret_scanning.status
#   controls:
#     CIS-Controls-8: ["16.11"]
#     CIS-GitHub-1.0: ["1.5.1"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["IA-5(7)", "SC-28"]
#     PCI-DSS-4.0: ["8.6.2"]
#     SOC2: ["CC6.1"]
package weir.github.secret_scanning

import data.weir.lib

deny contains "secrets are not looked for" if {
	not lib.all_true("security_and_analysis.secret_scanning.status")
}
