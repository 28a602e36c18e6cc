# METADATA
# title: Policies of vaults, registries, secrets and file systems do not allow anybody
# custom:
#   id: aws-resource-policy-not-public
#   severity: high
#   remediation: "Name the principals."
#   resource_types:
#     - aws_secretsmanager_secret_policy
#     - aws_ecr_repository_policy
#     - aws_ecrpublic_repository_policy
#     - aws_backup_vault_policy
#     - aws_efs_file_system_policy
#     - aws_opensearch_domain_policy
#     - aws_glacier_vault
#   decides:
#     - policy
#     - access_policies
#     - access_policy
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-6", "SC-7"]
#     PCI-DSS-4.0: ["1.4.4", "7.2.1"]
#     SOC2: ["CC6.1", "CC6.6"]
package weir.aws.resource_policy_not_public

import data.weir.lib

deny contains "the policy allows anybody" if {
	some path in {"policy", "access_policies", "access_policy"}
	some statement in lib.statements(path)
	lib.is_public(statement)
}
