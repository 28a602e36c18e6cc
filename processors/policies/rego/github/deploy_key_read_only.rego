# METADATA
# title: Deploy keys only read
# custom:
#   id: github-deploy-key-read-only
#   severity: medium
#   remediation: "Set read_only to true."
#   resource_types:
#     - github_repository_deploy_key
#   decides:
#     - read_only
#   denies: present
#   controls:
#     CIS-Controls-8: ["6.8"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.308(a)(4)(ii)(B)", "164.312(a)(1)"]
#     NIST-800-53r5: ["AC-2", "AC-6", "AC-6(1)"]
#     PCI-DSS-4.0: ["7.2.1", "7.2.2"]
#     SOC2: ["CC6.3"]
package weir.github.deploy_key_read_only

import data.weir.lib

deny contains "the key may write" if {
	some value in lib.values("read_only")
	value == false
}
