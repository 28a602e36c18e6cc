//! Types of Azure Resource Manager: <https://learn.microsoft.com/azure/templates/>.

use serde_json::{Value, json};

use super::{ResourceType, is_enabled, same};

const PUBLIC: &str = "public_network_access_enabled";

/// Types of resources.
pub(in crate::compliance) static TYPES: &[ResourceType] = &[
    ResourceType {
        name: "microsoft.storage/storageaccounts",
        terraform: "azurerm_storage_account",
        arguments: &[
            ("https_traffic_only_enabled", "/properties/supportsHttpsTrafficOnly", same),
            ("min_tls_version", "/properties/minimumTlsVersion", same),
            ("allow_nested_items_to_be_public", "/properties/allowBlobPublicAccess", same),
            ("shared_access_key_enabled", "/properties/allowSharedKeyAccess", same),
            (PUBLIC, "/properties/publicNetworkAccess", is_enabled),
            ("network_rules.default_action", "/properties/networkAcls/defaultAction", same),
            (
                "infrastructure_encryption_enabled",
                "/properties/encryption/requireInfrastructureEncryption",
                same,
            ),
        ],
        not_shown: &["blob_properties"],
    },
    ResourceType {
        name: "microsoft.keyvault/vaults",
        terraform: "azurerm_key_vault",
        arguments: &[
            ("network_acls.default_action", "/properties/networkAcls/defaultAction", same),
            (PUBLIC, "/properties/publicNetworkAccess", is_enabled),
            ("purge_protection_enabled", "/properties/enablePurgeProtection", same),
            ("enable_rbac_authorization", "/properties/enableRbacAuthorization", same),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "microsoft.containerservice/managedclusters",
        terraform: "azurerm_kubernetes_cluster",
        arguments: &[
            ("private_cluster_enabled", "/properties/apiServerAccessProfile/enablePrivateCluster", same),
            (
                "api_server_access_profile.authorized_ip_ranges",
                "/properties/apiServerAccessProfile/authorizedIPRanges",
                same,
            ),
            (
                "oms_agent.log_analytics_workspace_id",
                "/properties/addonProfiles/omsagent/config/logAnalyticsWorkspaceResourceID",
                same,
            ),
            ("network_profile.network_policy", "/properties/networkProfile/networkPolicy", unless_none),
            ("local_account_disabled", "/properties/disableLocalAccounts", same),
            ("azure_policy_enabled", "/properties/addonProfiles/azurepolicy/enabled", same),
            ("role_based_access_control_enabled", "/properties/enableRBAC", same),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "microsoft.sql/servers",
        terraform: "azurerm_mssql_server",
        arguments: &[
            ("minimum_tls_version", "/properties/minimalTlsVersion", same),
            (PUBLIC, "/properties/publicNetworkAccess", is_enabled),
            ("azuread_administrator.login_username", "/properties/administrators/login", same),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "microsoft.cache/redis",
        terraform: "azurerm_redis_cache",
        arguments: &[
            ("non_ssl_port_enabled", "/properties/enableNonSslPort", same),
            ("minimum_tls_version", "/properties/minimumTlsVersion", same),
            (PUBLIC, "/properties/publicNetworkAccess", is_enabled),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "microsoft.containerregistry/registries",
        terraform: "azurerm_container_registry",
        arguments: &[
            ("admin_enabled", "/properties/adminUserEnabled", same),
            ("anonymous_pull_enabled", "/properties/anonymousPullEnabled", same),
            (PUBLIC, "/properties/publicNetworkAccess", is_enabled),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "microsoft.compute/disks",
        terraform: "azurerm_managed_disk",
        arguments: &[
            (PUBLIC, "/properties/publicNetworkAccess", is_enabled),
            ("network_access_policy", "/properties/networkAccessPolicy", same),
            ("disk_encryption_set_id", "/properties/encryption/diskEncryptionSetId", same),
            (
                "secure_vm_disk_encryption_set_id",
                "/properties/securityProfile/secureVMDiskEncryptionSetId",
                same,
            ),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "microsoft.documentdb/databaseaccounts",
        terraform: "azurerm_cosmosdb_account",
        arguments: &[
            (PUBLIC, "/properties/publicNetworkAccess", is_enabled),
            ("local_authentication_disabled", "/properties/disableLocalAuth", same),
        ],
        not_shown: &["delegated_subnet_id"],
    },
    ResourceType {
        name: "microsoft.network/networksecuritygroups",
        terraform: "azurerm_network_security_group",
        arguments: &[("security_rule", "/properties/securityRules", security_rules)],
        not_shown: &[],
    },
    ResourceType {
        name: "microsoft.network/networksecuritygroups/securityrules",
        terraform: "azurerm_network_security_rule",
        arguments: &[
            ("access", "/properties/access", same),
            ("direction", "/properties/direction", same),
            ("protocol", "/properties/protocol", same),
            ("source_address_prefix", "/properties/sourceAddressPrefix", same),
            ("source_address_prefixes", "/properties/sourceAddressPrefixes", same),
            ("destination_port_range", "/properties/destinationPortRange", same),
            ("destination_port_ranges", "/properties/destinationPortRanges", same),
        ],
        not_shown: &[],
    },
];

/// A plugin, if there is one.
fn unless_none(value: &Value) -> Value {
    if value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("none")) {
        Value::Null
    } else {
        value.clone()
    }
}

fn security_rules(rules: &Value) -> Value {
    let rules = rules.as_array().into_iter().flatten();
    let rule = |rule: &Value| {
        let told = &rule["properties"];
        json!({
            "name": rule["name"], "access": told["access"], "direction": told["direction"],
            "protocol": told["protocol"],
            "source_address_prefix": told["sourceAddressPrefix"],
            "source_address_prefixes": told["sourceAddressPrefixes"],
            "destination_port_range": told["destinationPortRange"],
            "destination_port_ranges": told["destinationPortRanges"],
        })
    };
    rules.map(rule).collect()
}
