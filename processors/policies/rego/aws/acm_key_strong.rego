# METADATA
# title: Certificates have strong keys
# custom:
#   id: aws-acm-key-strong
#   severity: low
#   remediation: "Set key_algorithm to RSA_2048 or EC_prime256v1."
#   resource_types:
#     - aws_acm_certificate
#   decides:
#     - key_algorithm
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.acm_key_strong

import data.weir.lib

deny contains "the key of the certificate is weak" if lib.any_in("key_algorithm", {"RSA_1024"})
