# METADATA
# title: MSK encrypts traffic
# custom:
#   id: aws-msk-transit
#   severity: high
#   remediation: "Set encryption_in_transit.client_broker to TLS and in_cluster to true."
#   resource_types:
#     - aws_msk_cluster
#   decides:
#     - encryption_info.encryption_in_transit.client_broker
#   denies: present
#   controls:
#     CIS-Controls-8: ["3.10"]
#     GDPR: ["Art.32(1)(a)"]
#     HIPAA: ["164.312(e)(1)", "164.312(e)(2)(ii)"]
#     NIST-800-53r5: ["SC-8", "SC-8(1)", "SC-13"]
#     PCI-DSS-4.0: ["4.2.1"]
#     SOC2: ["CC6.7"]
package weir.aws.msk_transit

import data.weir.lib

deny contains "clients may connect without TLS" if {
	lib.any_in("encryption_info.encryption_in_transit.client_broker", {"PLAINTEXT", "TLS_PLAINTEXT"})
}

deny contains "traffic between brokers is not encrypted" if {
	lib.any_in("encryption_info.encryption_in_transit.in_cluster", {false})
}
