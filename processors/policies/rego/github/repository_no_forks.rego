# METADATA
# title: Private repositories are not forked
# custom:
#   id: github-repository-no-forks
#   severity: low
#   remediation: "Set allow_forking to false."
#   resource_types:
#     - github_repository
#   decides:
#     - allow_forking
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.github.repository_no_forks

import data.weir.lib

deny contains "the repository may be forked" if lib.any_true("allow_forking")
