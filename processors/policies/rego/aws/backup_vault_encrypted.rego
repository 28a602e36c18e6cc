# METADATA
# title: Vaults of backups encrypt with a key of yours
# custom:
#   id: aws-backup-vault-encrypted
#   severity: medium
#   remediation: "Set kms_key_arn."
#   resource_types:
#     - aws_backup_vault
#   controls:
#     CIS-Controls-8: ["3.11"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(a)(2)(iv)"]
#     NIST-800-53r5: ["SC-12", "SC-28"]
#     PCI-DSS-4.0: ["3.6.1", "3.7.4"]
#     SOC2: ["CC6.1"]
package weir.aws.backup_vault_encrypted

import data.weir.lib

deny contains "the vault is encrypted with a key of AWS" if not lib.present("kms_key_arn")
