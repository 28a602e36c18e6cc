# METADATA
# title: Organisations start members with read access
# custom:
#   id: github-organization-secure-defaults
#   severity: medium
#   remediation: >-
#     Set default_repository_permission to read or none and members_can_create_public_repositories to
#     false.
#   resource_types:
#     - github_organization_settings
#   decides:
#     - default_repository_permission
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     CIS-GitHub-1.0: ["1.3.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.github.organization_secure_defaults

import data.weir.lib

deny contains "members may write to every repository" if {
	lib.any_in("default_repository_permission", {"write", "admin"})
}

deny contains "members may create public repositories" if {
	lib.any_true("members_can_create_public_repositories")
}
