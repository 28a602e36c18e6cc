# METADATA
# title: Collaborators are not administrators
# custom:
#   id: github-collaborators-no-admin
#   severity: medium
#   remediation: "Grant push or maintain."
#   resource_types:
#     - github_repository_collaborator
#     - github_team_repository
#   decides:
#     - permission
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-GitHub-1.0: ["1.3.7"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.github.collaborators_no_admin

import data.weir.lib

deny contains "the collaborator is an administrator" if lib.any_in("permission", {"admin"})
