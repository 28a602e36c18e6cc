//! Classifies a type by the words of its name, for types that are in no list.
//!
//! `provider_service_noun`: the last words say what the thing *is* (`…_database_user` is a user), the words
//! before them what it belongs to (`…_rds_db_instance` is a database although an instance computes).

use super::Holding;

/// The words of a type's name without the provider's; at most 16, since no real provider's names are longer.
pub(super) fn words_of(kind: &str) -> Vec<&str> {
    const MOST: usize = 16;
    let words: Vec<&str> = kind.split(['_', '-', '.']).filter(|word| !word.is_empty()).take(MOST).collect();
    match words.first() {
        Some(provider) if HARMLESS_PROVIDERS.contains(provider) => vec![HARMLESS_PROVIDERS[0]],
        // A database's own provider is named after it: `postgresql_database`, `mysql_database`.
        Some(_) if words.len() > 1 => words[1..].iter().copied().filter(|word| !is_version(word)).collect(),
        _ => Vec::new(),
    }
}

/// Kind of loss by these words. A name without words, as in a broken plan, has none.
pub(super) fn by_words(words: &[&str]) -> Holding {
    let Some(last) = words.last() else { return Holding::Other };
    if HARMLESS_PROVIDERS.contains(last) {
        return Holding::Other;
    }
    let two_last = words.len().checked_sub(2).map(|from| words[from..].join("_"));
    if let Some((_, holding)) = PAIRS.iter().find(|(pair, _)| two_last.as_deref() == Some(*pair)) {
        return *holding;
    }
    let named =
        |list: &[&str]| list.contains(last) || two_last.as_deref().is_some_and(|two| list.contains(&two));
    let has = |list: &[&str]| words.iter().any(|word| list.contains(word) || list.contains(&singular(word)));
    let parts = |list: &[&str]| words.iter().any(|word| list.iter().any(|part| word.contains(part)));
    if named(SETTINGS) {
        Holding::Other
    } else if named(IDENTITIES) {
        Holding::Identity
    } else if named(NETWORKS) {
        Holding::Network
    } else if has(STORES) || parts(STORE_PARTS) {
        Holding::Data
    } else if has(STATES) {
        Holding::State
    } else if has(NETWORKS) {
        Holding::Network
    } else if has(IDENTITIES) {
        Holding::Identity
    } else if has(COMPUTERS) {
        Holding::Compute
    } else {
        Holding::Unknown
    }
}

fn singular(word: &str) -> &str {
    word.strip_suffix('s').unwrap_or(word)
}

/// Whether the word is an API version at the end of a name: `v1`, `v2beta1`.
fn is_version(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next() == Some('v') && letters.next().is_some_and(|c| c.is_ascii_digit())
}

/// Providers whose resources exist only in the state, or on the machine that runs Terraform.
const HARMLESS_PROVIDERS: &[&str] = &[
    "random",
    "archive",
    "cloudinit",
    "external",
    "http",
    "local",
    "null",
    "template",
    "terraform",
    "time",
    "tls",
];

/// Nouns of two words, whose last word alone is misleading.
const PAIRS: &[(&str, Holding)] = &[
    ("file_system", Holding::Data),
    ("instance_group", Holding::Compute),
    ("instance_template", Holding::Compute),
    ("key_pair", Holding::Identity),
    ("launch_template", Holding::Compute),
    ("log_group", Holding::State),
    ("node_group", Holding::Compute),
    ("node_pool", Holding::Compute),
    ("object_storage", Holding::Data),
    ("replication_group", Holding::State),
    ("resource_group", Holding::State),
    ("scaling_group", Holding::Compute),
    ("security_group", Holding::Network),
    ("server_group", Holding::Compute),
    ("storage_pool", Holding::Data),
    ("target_group", Holding::Network),
];

/// Dependent things without content: settings, associations, observers.
const SETTINGS: &[&str] = &[
    "action",
    "agreement",
    "alarm",
    "alert",
    "alias",
    "analytics",
    "announcement",
    "association",
    "assignment",
    "attachment",
    "budget",
    "channel",
    "check",
    "comment",
    "condition",
    "config",
    "config_set",
    "configuration",
    "connection_pool",
    "contact",
    "customization",
    "dashboard",
    "defaults",
    "description",
    "event_subscription",
    "exclusion",
    "feature",
    "filter",
    "hook",
    "insight",
    "integration",
    "label",
    "lifecycle",
    "lifecycle_policy",
    "logging",
    "maintenance_window",
    "metric",
    "metric_alarm",
    "milestone",
    "monitor",
    "notification",
    "notification_rule",
    "option_group",
    "options",
    "override",
    "parameter_group",
    "parameters",
    "placement_group",
    "plugin",
    "preference",
    "properties",
    "quota",
    "reservation",
    "schedule",
    "setting",
    "settings",
    "subnet_group",
    "tag",
    "target",
    "template",
    "test",
    "threshold",
    "trigger",
    "validation",
    "versioning",
    "waiter",
    "webhook",
    "window",
];

/// Identities and grants.
const IDENTITIES: &[&str] = &[
    "access_key",
    "access_policy",
    "acl",
    "apikey",
    "api_key",
    "authorization",
    "binding",
    "client",
    "collaborator",
    "credential",
    "credentials",
    "grant",
    "group",
    "iam",
    "identity",
    "invitation",
    "member",
    "membership",
    "password",
    "permission",
    "permissions",
    "policy",
    "policy_attachment",
    "principal",
    "privilege",
    "privileges",
    "role",
    "role_assignment",
    "saml",
    "service_account",
    "sso",
    "team",
    "token",
    "user",
    "users",
];

/// Network access.
const NETWORKS: &[&str] = &[
    "access_list",
    "address",
    "cdn",
    "cidr",
    "dns",
    "domain",
    "eip",
    "endpoint",
    "firewall",
    "firewall_rule",
    "floatingip",
    "gateway",
    "ingress",
    "ip",
    "ip_filter",
    "lb",
    "listener",
    "listener_rule",
    "load_balancer",
    "loadbalancer",
    "network",
    "network_rule",
    "nic",
    "peering",
    "port",
    "record",
    "route",
    "route_table",
    "router",
    "rule",
    "security_group",
    "security_rule",
    "secgroup",
    "subnet",
    "subnetwork",
    "tunnel",
    "vcn",
    "vpc",
    "vpn",
    "vswitch",
    "waf",
    "zone",
];

/// Stores of data, and their keys.
const STORES: &[&str] = &[
    "archive",
    "backup",
    "bigquery",
    "bigtable",
    "blob",
    "bucket",
    "cassandra",
    "catalog",
    "clickhouse",
    "collection",
    "couchbase",
    "dataset",
    "datastore",
    "db",
    "db2",
    "dbaas",
    "docdb",
    "druid",
    "efs",
    "elasticsearch",
    "etcd",
    "filestore",
    "filesystem",
    "firestore",
    "fsx",
    "hbase",
    "hsm",
    "index",
    "keyspace",
    "keyspaces",
    "kms",
    "kv",
    "lake",
    "lakehouse",
    "ledger",
    "mdb",
    "milvus",
    "nas",
    "neo4j",
    "neptune",
    "objectstorage",
    "opensearch",
    "oracle",
    "ots",
    "pg",
    "pgsql",
    "pinecone",
    "qdrant",
    "qldb",
    "rdb",
    "rds",
    "redshift",
    "repo",
    "repository",
    "s3",
    "schema",
    "share",
    "spanner",
    "storage",
    "store",
    "synapse",
    "table",
    "tablestore",
    "teradata",
    "timestream",
    "vault",
    "vertica",
    "warehouse",
    "weaviate",
];

/// Parts of words that denote a store: `documentdb`, `azuresql`, `mongodbatlas`, `hostedpostgres`.
const STORE_PARTS: &[&str] = &[
    "aurora",
    "cockroach",
    "cosmos",
    "couch",
    "database",
    "dynamo",
    "influx",
    "maria",
    "mongo",
    "mysql",
    "postgre",
    "scylla",
    "sql",
    "timescale",
    "yugabyte",
];

/// State that is hard to recreate.
const STATES: &[&str] = &[
    "account",
    "addon",
    "ami",
    "broker",
    "cache",
    "certificate",
    "cluster",
    "compartment",
    "deployment_environment",
    "disk",
    "dragonfly",
    "drive",
    "ecr",
    "elasticache",
    "environment",
    "eventhub",
    "image",
    "kafka",
    "key",
    "keyring",
    "kinesis",
    "kubernetes",
    "log",
    "memcached",
    "mount",
    "mq",
    "msk",
    "namespace",
    "nats",
    "organization",
    "parameter",
    "project",
    "pubsub",
    "pulsar",
    "queue",
    "rabbitmq",
    "redis",
    "registry",
    "secret",
    "secretsmanager",
    "snapshot",
    "space",
    "sns",
    "sqs",
    "stack",
    "stream",
    "subscription",
    "tenant",
    "topic",
    "valkey",
    "volume",
    "workspace",
];

/// Work that can be restarted.
const COMPUTERS: &[&str] = &[
    "agent",
    "app",
    "application",
    "autoscaler",
    "batch",
    "build",
    "compute",
    "container",
    "cronjob",
    "daemonset",
    "deployment",
    "droplet",
    "fargate",
    "flow",
    "function",
    "host",
    "instance",
    "job",
    "lambda",
    "machine",
    "node",
    "nodegroup",
    "nodepool",
    "pipeline",
    "pod",
    "pool",
    "process",
    "release",
    "replicaset",
    "runner",
    "script",
    "server",
    "service",
    "site",
    "task",
    "vm",
    "worker",
    "workflow",
];
