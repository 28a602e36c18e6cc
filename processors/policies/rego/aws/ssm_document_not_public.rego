# METADATA
# title: Documents of SSM are not shared with everybody
# custom:
#   id: aws-ssm-document-not-public
#   severity: high
#   remediation: "Name accounts in permissions.account_ids in place of all."
#   resource_types:
#     - aws_ssm_document
#   decides:
#     - permissions.account_ids
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.3"]
#     GDPR: ["Art.25(2)", "Art.32(1)(b)"]
#     HIPAA: ["164.312(a)(1)"]
#     NIST-800-53r5: ["AC-3", "AC-4"]
#     PCI-DSS-4.0: ["7.2.1"]
#     SOC2: ["CC6.1"]
package weir.aws.ssm_document_not_public

import data.weir.lib

deny contains "every account may run the document" if {
	some accounts in lib.values("permissions.account_ids")
	some account in split(accounts, ",")
	lower(trim_space(account)) == "all"
}
