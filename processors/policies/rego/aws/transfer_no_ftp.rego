# METADATA
# title: Transfer servers do not speak FTP
# custom:
#   id: aws-transfer-no-ftp
#   severity: high
#   remediation: "Leave FTP out of protocols."
#   resource_types:
#     - aws_transfer_server
#   decides:
#     - protocols
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.transfer_no_ftp

import data.weir.lib

deny contains "files are transferred without encryption" if lib.any_in("protocols", {"FTP"})
