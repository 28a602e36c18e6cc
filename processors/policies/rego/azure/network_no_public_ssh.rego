# METADATA
# title: SSH is not open to the internet
# custom:
#   id: azure-network-no-public-ssh
#   severity: critical
#   remediation: "Name the networks that administer, or use Bastion."
#   resource_types:
#     - azurerm_network_security_group
#     - azurerm_network_security_rule
#   decides:
#     - security_rule.source_address_prefix
#     - source_address_prefix
#   denies: present
#   controls:
#     CIS-Azure-3.0: ["7.2"]
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.network_no_public_ssh

import data.weir.lib

deny contains "SSH (port 22) is open to the internet" if lib.azure_open(22)
