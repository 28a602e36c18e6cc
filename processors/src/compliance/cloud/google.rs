//! Types of Google Cloud, by the names of Cloud Asset Inventory:
//! <https://cloud.google.com/asset-inventory/docs/asset-types>. A resource is in the form of its own REST API.

use serde_json::{Map, Value, json};

use super::{ResourceType, block_if_true, same};

/// Types of resources.
pub(in crate::compliance) static TYPES: &[ResourceType] = &[
    ResourceType {
        name: "compute.googleapis.com/Firewall",
        terraform: "google_compute_firewall",
        arguments: &[
            ("name", "/name", same),
            ("network", "/network", same),
            ("direction", "/direction", same),
            ("disabled", "/disabled", same),
            ("source_ranges", "/sourceRanges", same),
            ("allow", "/allowed", protocols),
            ("deny", "/denied", protocols),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "compute.googleapis.com/Instance",
        terraform: "google_compute_instance",
        arguments: &[
            ("can_ip_forward", "/canIpForward", same),
            ("metadata", "/metadata/items", metadata),
            ("network_interface", "/networkInterfaces", interfaces),
            ("service_account", "/serviceAccounts", same),
            ("shielded_instance_config", "/shieldedInstanceConfig", shielded),
        ],
        // Keys are told by the disks themselves.
        not_shown: &["boot_disk"],
    },
    ResourceType {
        name: "compute.googleapis.com/Subnetwork",
        terraform: "google_compute_subnetwork",
        arguments: &[
            ("purpose", "/purpose", same),
            ("log_config", "/logConfig/enable", block_if_true),
            ("private_ip_google_access", "/privateIpGoogleAccess", same),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "storage.googleapis.com/Bucket",
        terraform: "google_storage_bucket",
        arguments: &[
            ("encryption.default_kms_key_name", "/encryption/defaultKmsKeyName", same),
            ("logging.log_bucket", "/logging/logBucket", same),
            ("public_access_prevention", "/iamConfiguration/publicAccessPrevention", same),
            ("uniform_bucket_level_access", "/iamConfiguration/uniformBucketLevelAccess/enabled", same),
            ("versioning.enabled", "/versioning/enabled", same),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "sqladmin.googleapis.com/Instance",
        terraform: "google_sql_database_instance",
        arguments: &[
            ("settings.backup_configuration.enabled", "/settings/backupConfiguration/enabled", same),
            ("settings.database_flags", "/settings/databaseFlags", same),
            (
                "settings.ip_configuration.authorized_networks",
                "/settings/ipConfiguration/authorizedNetworks",
                same,
            ),
            ("settings.ip_configuration.ipv4_enabled", "/settings/ipConfiguration/ipv4Enabled", same),
            ("settings.ip_configuration.require_ssl", "/settings/ipConfiguration/requireSsl", same),
            ("settings.ip_configuration.ssl_mode", "/settings/ipConfiguration/sslMode", same),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "container.googleapis.com/Cluster",
        terraform: "google_container_cluster",
        arguments: &[
            ("ip_allocation_policy", "/ipAllocationPolicy/useIpAliases", block_if_true),
            ("enable_autopilot", "/autopilot/enabled", same),
            ("binary_authorization.evaluation_mode", "/binaryAuthorization/evaluationMode", same),
            (
                "private_cluster_config.enable_private_endpoint",
                "/privateClusterConfig/enablePrivateEndpoint",
                same,
            ),
            ("private_cluster_config.enable_private_nodes", "/privateClusterConfig/enablePrivateNodes", same),
            ("master_authorized_networks_config", "/masterAuthorizedNetworksConfig", authorized_networks),
            ("logging_service", "/loggingService", same),
            ("monitoring_service", "/monitoringService", same),
            ("network_policy.enabled", "/networkPolicy/enabled", same),
            ("datapath_provider", "/networkConfig/datapathProvider", same),
            (
                "master_auth.client_certificate_config.issue_client_certificate",
                "/masterAuth/clientCertificateConfig/issueClientCertificate",
                same,
            ),
            ("master_auth.username", "/masterAuth/username", same),
            ("enable_legacy_abac", "/legacyAbac/enabled", same),
            ("database_encryption.state", "/databaseEncryption/state", same),
            ("enable_shielded_nodes", "/shieldedNodes/enabled", same),
            ("workload_identity_config.workload_pool", "/workloadIdentityConfig/workloadPool", same),
        ],
        not_shown: &[],
    },
    ResourceType {
        name: "cloudkms.googleapis.com/CryptoKey",
        terraform: "google_kms_crypto_key",
        arguments: &[("purpose", "/purpose", same), ("rotation_period", "/rotationPeriod", same)],
        not_shown: &[],
    },
    ResourceType {
        name: "pubsub.googleapis.com/Topic",
        terraform: "google_pubsub_topic",
        arguments: &[("kms_key_name", "/kmsKeyName", same)],
        not_shown: &[],
    },
    ResourceType {
        name: "bigquery.googleapis.com/Dataset",
        terraform: "google_bigquery_dataset",
        arguments: &[
            (
                "default_encryption_configuration.kms_key_name",
                "/defaultEncryptionConfiguration/kmsKeyName",
                same,
            ),
            ("access", "/access", access),
        ],
        not_shown: &[],
    },
];

fn each(list: &Value, one: impl Fn(&Value) -> Value) -> Value {
    list.as_array().into_iter().flatten().map(one).collect()
}

fn protocols(rules: &Value) -> Value {
    each(rules, |rule| {
        let protocol = ["IPProtocol", "ipProtocol"].iter().find_map(|name| rule[*name].as_str());
        json!({ "protocol": protocol.unwrap_or("all"), "ports": rule["ports"] })
    })
}

fn metadata(items: &Value) -> Value {
    let items = items.as_array().into_iter().flatten();
    let pair = |item: &Value| Some((item["key"].as_str()?.to_owned(), item["value"].clone()));
    Value::Object(items.filter_map(pair).collect::<Map<_, _>>())
}

fn interfaces(list: &Value) -> Value {
    each(list, |interface| {
        json!({
            "network": interface["network"],
            "access_config": interface["accessConfigs"],
            "ipv6_access_config": interface["ipv6AccessConfigs"],
        })
    })
}

fn shielded(config: &Value) -> Value {
    let mut block = Map::new();
    for (argument, name) in [
        ("enable_vtpm", "enableVtpm"),
        ("enable_integrity_monitoring", "enableIntegrityMonitoring"),
        ("enable_secure_boot", "enableSecureBoot"),
    ] {
        if let Some(value) = config.get(name) {
            block.insert(argument.to_owned(), value.clone());
        }
    }
    json!([block])
}

/// The networks, where access is restricted to them.
fn authorized_networks(config: &Value) -> Value {
    if config["enabled"] != true {
        return Value::Null;
    }
    let ranges = each(&config["cidrBlocks"], |range| json!({ "cidr_block": range["cidrBlock"] }));
    json!([{ "cidr_blocks": ranges }])
}

fn access(entries: &Value) -> Value {
    each(entries, |entry| {
        json!({
            "role": entry["role"], "special_group": entry["specialGroup"], "iam_member": entry["iamMember"],
        })
    })
}
