# METADATA
# title: Actions come from named owners
# custom:
#   id: github-actions-narrow
#   severity: medium
#   remediation: "Set allowed_actions to selected or local_only."
#   resource_types:
#     - github_actions_organization_permissions
#     - github_actions_repository_permissions
#   decides:
#     - allowed_actions
#   controls:
#     CIS-Controls-8: ["16.1"]
#     CIS-GitHub-1.0: ["1.4.1"]
#     GDPR: ["Art.25(1)"]
#     HIPAA: ["164.308(a)(8)"]
#     NIST-800-53r5: ["CM-3", "SA-11", "SI-7"]
#     PCI-DSS-4.0: ["6.2.3", "6.5.1"]
#     SOC2: ["CC8.1"]
package weir.github.actions_narrow

import data.weir.lib

deny contains "every action of everybody may run" if {
	not lib.all_in("allowed_actions", {"selected", "local_only"})
}
