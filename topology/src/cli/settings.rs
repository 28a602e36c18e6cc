//! What may be set: `weir.toml`, then `WEIR_SECTION__KEY`, then the names other programs share.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use anyhow::Context;
use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
};
use serde::{Deserialize, Serialize};

/// Everything that can be set, with its defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) gateway: Gateway,
    pub(super) query_api: QueryApi,
    pub(super) stage: Stage,
    pub(super) api_keys: ApiKeys,
}

/// `[gateway]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gateway {
    /// Where the gateway listens.
    pub(super) listen: SocketAddr,
    /// Requests per minute for one API key; 0 for no limit.
    pub(super) requests_per_minute: u32,
}

/// `[query_api]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QueryApi {
    /// Where the query API listens.
    pub(super) listen: SocketAddr,
    /// Its URL, for `weir query`; told by the local deployment where there is one.
    pub(super) url: Option<String>,
}

/// `[stage]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Stage {
    /// Where metrics and health of `weir run STAGE` listen.
    pub(super) admin_listen: SocketAddr,
    /// Static membership of the consumer group: a name that survives restarts, such as a pod's.
    pub(super) group_instance: Option<String>,
}

/// `[api_keys]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiKeys {
    /// The secret under which key secrets are hashed.
    pub(super) pepper: Option<String>,
    /// A file that holds it.
    pub(super) pepper_file: Option<PathBuf>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8640)), requests_per_minute: 1_000 }
    }
}

impl Default for QueryApi {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8641)), url: None }
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self { admin_listen: SocketAddr::from(([127, 0, 0, 1], 8642)), group_instance: None }
    }
}

impl Settings {
    /// Reads `weir.toml` in the current folder, if there is one, and the environment.
    pub(super) fn load() -> anyhow::Result<Self> {
        // The section is what stands before the double underscore; WEIR_HOME and its like have none.
        let environment = Env::prefixed("WEIR_").filter(|key| key.as_str().contains("__")).split("__");
        Figment::from(Serialized::defaults(Self::default()))
            .merge(Toml::file("weir.toml"))
            .merge(environment)
            .extract()
            .context("the settings in weir.toml or the environment (WEIR_SECTION__KEY) cannot be used")
    }
}

/// librdkafka settings for a secured cluster, from the names its other clients use.
pub(super) fn kafka_security() -> BTreeMap<String, String> {
    [
        ("KAFKA_SECURITY_PROTOCOL", "security.protocol"),
        ("KAFKA_SASL_MECHANISM", "sasl.mechanism"),
        ("KAFKA_SASL_USERNAME", "sasl.username"),
        ("KAFKA_SASL_PASSWORD", "sasl.password"),
        ("KAFKA_SSL_CA_LOCATION", "ssl.ca.location"),
    ]
    .into_iter()
    .filter_map(|(name, key)| Some((key.to_owned(), secret(name)?)))
    .collect()
}

/// The value of an environment variable, or of the file that `<NAME>_FILE` names.
fn secret(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).or_else(|| {
        let path = std::env::var(format!("{name}_FILE")).ok()?;
        std::fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
    })
}
