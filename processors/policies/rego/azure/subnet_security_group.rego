# METADATA
# title: Subnets have a security group
# custom:
#   id: azure-subnet-security-group
#   severity: low
#   remediation: "Add an azurerm_subnet_network_security_group_association."
#   resource_types:
#     - azurerm_subnet
#   controls:
#     CIS-Controls-8: ["4.4"]
#     GDPR: ["Art.32(1)(b)"]
#     HIPAA: ["164.312(e)(1)"]
#     NIST-800-53r5: ["SC-7", "SC-7(5)", "CM-7"]
#     PCI-DSS-4.0: ["1.3.1", "1.4.2"]
#     SOC2: ["CC6.6"]
package weir.azure.subnet_security_group

import data.weir.lib

# Subnets of these services take no security group.
applies if not lib.any_in("name", {"GatewaySubnet", "AzureFirewallSubnet", "AzureBastionSubnet", "RouteServerSubnet"})

deny contains "no security group guards the subnet" if {
	count(lib.related("azurerm_subnet_network_security_group_association", "subnet_id")) == 0
	not lib.present("network_security_group_id")
}
