//! Settings: `weir.toml`, then `WEIR_SECTION__KEY`, then the variables that other programs share.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use figment::{
    Figment,
    providers::{Format as _, Serialized, Toml},
};
mod database;
mod edge;
mod environment;
mod gateway;
mod identity;
mod origin;
mod policies;
#[cfg(test)]
mod reference;
mod refusal;
mod retention;
mod shares;
mod sinks;

pub(super) use database::Database;
pub(super) use edge::{Client, Networks, Tls, Trust};
pub(super) use gateway::Gateway;
pub(super) use identity::{Identity, Issuer, identities, issuer_configs};
pub(super) use origin::Origin;
pub(super) use policies::Policies;
use processors::risk::sigma::Placeholders;
use serde::{Deserialize, Deserializer, Serialize};
use siem::settings::{Sink, SinkSettings};

use crate::rules::in_force::RuleSources;

/// Everything that can be set, with its defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) gateway: Gateway,
    pub(super) query_api: QueryApi,
    pub(super) stage: Stage,
    pub(super) api_keys: ApiKeys,
    pub(super) audit: Audit,
    pub(super) database: Database,
    pub(super) retention: retention::Retention,
    pub(super) rules: Rules,
    pub(super) policies: Policies,
    pub(super) prices: Prices,
    pub(super) client: Client,
    pub(super) identity: Identity,
    /// Issuers whose tokens are accepted beside API keys.
    pub(super) issuer: Vec<Issuer>,
    pub(super) siem: sinks::Siem,
    /// Sinks that records are forwarded to.
    pub(super) sink: Vec<SinkSettings>,
}

/// Secrets as people write them down: one alone, or a list.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl fmt::Debug for OneOrMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneOrMany(..)")
    }
}

/// `[query_api]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QueryApi {
    /// Address that the query API listens on.
    pub(super) listen: SocketAddr,
    /// Its certificate; without one it speaks clear text.
    pub(super) tls: Tls,
    /// Address of its health and metrics, in clear text.
    pub(super) admin_listen: SocketAddr,
    /// Whether the main listener serves metrics, too.
    pub(super) public_metrics: bool,
    /// Proxies whose `X-Forwarded-For` is believed: one network, or a list.
    pub(super) trusted_proxies: Networks,
    /// Requests per minute for one API key; 0 for no limit.
    pub(super) requests_per_minute: u32,
    /// Database capacity that tenants share, and the most that one tenant may take.
    pub(super) shares: shares::QueryShares,
    /// Its URL, for `weir query`; by default that of the local deployment.
    pub(super) url: Option<String>,
}

/// `[stage]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Stage {
    /// Address of the metrics and health of `weir run STAGE`.
    pub(super) admin_listen: SocketAddr,
    /// Static membership of the consumer group: a name that survives restarts, such as a pod's.
    pub(super) group_instance: Option<String>,
}

/// `[prices]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Prices {
    /// The price list that estimates use, CSV; without it the shipped examples.
    pub(super) file: Option<PathBuf>,
}

/// `[rules]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rules {
    /// Folders of Sigma rules for the stage `risk`, beside Weir's own: one path, or a list.
    pub(super) sigma: Folders,
    /// Whether Weir's own rules are in force.
    pub(super) own: bool,
    /// Values of `%name%` in rules with the modifier `expand`: texts by name, which may have wildcards.
    pub(super) placeholders: BTreeMap<String, OneOrMany>,
}

/// Paths as people write them down: one alone, or a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Folders {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl Folders {
    /// The paths in the order they were named.
    fn list(&self) -> Vec<PathBuf> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::Many(many) => many.clone(),
        }
    }
}

impl Rules {
    /// The folders in the order they were named.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.sigma.list()
    }

    /// Placeholders and their values.
    pub(super) fn placeholders(&self) -> Placeholders {
        let texts = |values: &OneOrMany| match values {
            OneOrMany::One(one) => vec![one.clone()],
            OneOrMany::Many(many) => many.clone(),
        };
        let values = self.placeholders.iter().map(|(name, values)| (name.clone(), texts(values)));
        Placeholders::new(values.collect())
    }

    /// Sources of a stage's rules.
    pub(super) fn sources(&self) -> RuleSources {
        RuleSources { own: self.own, folders: self.folders(), placeholders: self.placeholders() }
    }
}

/// `[audit]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    /// Secret from which the audit log's subject keys are derived: 32 random bytes or more, never changed.
    #[serde(deserialize_with = "unless_empty")]
    pub(super) subject_secret: Option<String>,
    /// A file that holds it.
    #[serde(deserialize_with = "unless_empty")]
    pub(super) subject_secret_file: Option<PathBuf>,
    /// Key that signs the audit log's checkpoints: its text, or two keys on lines of their own during a
    /// rotation.
    #[serde(deserialize_with = "unless_empty")]
    pub(super) signing_key: Option<String>,
    /// A file that holds it.
    #[serde(deserialize_with = "unless_empty")]
    pub(super) signing_key_file: Option<PathBuf>,
    /// The public keys, for processes that do not sign: what `weir audit key` prints, separated by line ends.
    #[serde(deserialize_with = "unless_empty")]
    pub(super) public_keys: Option<String>,
    /// Witnesses to cosign: `<url> <public key>` each.
    pub(super) witnesses: Vec<String>,
}

/// `[api_keys]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiKeys {
    /// The secret under which key secrets are hashed.
    #[serde(deserialize_with = "unless_empty")]
    pub(super) pepper: Option<String>,
    /// A file that holds it.
    #[serde(deserialize_with = "unless_empty")]
    pub(super) pepper_file: Option<PathBuf>,
    /// The pepper before, while keys that were made under it are rotated.
    #[serde(deserialize_with = "unless_empty")]
    pub(super) previous_pepper: Option<String>,
    /// A file that holds it.
    #[serde(deserialize_with = "unless_empty")]
    pub(super) previous_pepper_file: Option<PathBuf>,
}

/// A value of which an empty text is none: compose files and manifests set variables that have no value to it.
fn unless_empty<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + AsRef<OsStr>,
{
    let value = Option::<T>::deserialize(deserializer)?;
    Ok(value.filter(|value| !value.as_ref().to_string_lossy().trim().is_empty()))
}

impl Default for QueryApi {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8641)),
            tls: Tls::default(),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8644)),
            public_metrics: false,
            trusted_proxies: Networks::default(),
            requests_per_minute: 1_000,
            shares: shares::QueryShares::default(),
            url: None,
        }
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self { admin_listen: SocketAddr::from(([127, 0, 0, 1], 8642)), group_instance: None }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self { sigma: Folders::Many(Vec::new()), own: true, placeholders: BTreeMap::new() }
    }
}

impl Settings {
    /// The issuers of the settings and of the file that they name.
    pub(super) fn issuers(&self) -> anyhow::Result<Vec<Issuer>> {
        identity::issuers(&self.issuer, &self.identity)
    }

    /// The sinks of the settings and of the file that they name, checked.
    pub(super) fn sinks(&self) -> anyhow::Result<Vec<Sink>> {
        sinks::sinks(&self.sink, &self.siem)
    }

    /// Reads `weir.toml` in the current folder, if there is one, and the environment.
    pub(super) fn load() -> anyhow::Result<Self> {
        let (mut settings, own) = (Figment::from(Serialized::defaults(Self::default())), Path::new(SETTINGS));
        // Not of the folders above: what somebody put there is not meant for processes below.
        if own.exists() {
            settings = settings.merge(Toml::file_exact(own));
        }
        settings
            .merge(environment::Environment::read())
            .extract()
            .map_err(refusal::without_values)
            .context("the settings in weir.toml or the environment (WEIR_SECTION__KEY) cannot be used")
    }
}

/// The file of settings, in the current folder.
const SETTINGS: &str = "weir.toml";

/// Variables of the environment, and what they are to librdkafka.
pub(super) const KAFKA_SECURITY: [(&str, &str); 8] = [
    ("KAFKA_SECURITY_PROTOCOL", "security.protocol"),
    ("KAFKA_SASL_MECHANISM", "sasl.mechanism"),
    ("KAFKA_SASL_USERNAME", "sasl.username"),
    ("KAFKA_SASL_PASSWORD", "sasl.password"),
    ("KAFKA_SSL_CA_LOCATION", "ssl.ca.location"),
    ("KAFKA_SSL_CERTIFICATE_LOCATION", "ssl.certificate.location"),
    ("KAFKA_SSL_KEY_LOCATION", "ssl.key.location"),
    ("KAFKA_SSL_KEY_PASSWORD", "ssl.key.password"),
];

/// librdkafka settings for a secured cluster, from the names its other clients use. Files that cannot be read are told
/// by [`transport::check`](super::transport::check).
pub(super) fn kafka_security() -> BTreeMap<String, String> {
    let of = |(name, key): (&str, &str)| Some((key.to_owned(), secret(name).ok()??));
    KAFKA_SECURITY.into_iter().filter_map(of).collect()
}

/// The value of an environment variable, or of the file that `<NAME>_FILE` names.
pub(super) fn secret(name: &str) -> anyhow::Result<Option<String>> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(value) = set(name) {
        return Ok(Some(value));
    }
    let Some(path) = set(&format!("{name}_FILE")) else { return Ok(None) };
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("the file {path}, which {name}_FILE names, cannot be read"))?;
    Ok(Some(text.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use producers::gateway::WebhookSecrets;

    use super::*;

    fn secrets(env: Option<&str>, file: Option<&str>) -> anyhow::Result<WebhookSecrets> {
        let mut gateway = Gateway::default();
        if let Some(env) = env {
            let parsed = Figment::from(Serialized::default("secrets", env.parse::<figment::value::Value>()?));
            gateway.github_webhook_secrets = parsed.extract_inner("secrets")?;
        }
        let mut written = tempfile::NamedTempFile::new()?;
        if let Some(file) = file {
            written.write_all(file.as_bytes())?;
            gateway.github_webhook_secrets_file = Some(written.path().to_owned());
        }
        gateway.github_webhook_secrets()
    }

    #[track_caller]
    fn check(env: Option<&str>, file: Option<&str>, tenants: &str) {
        assert_eq!(format!("{:?}", secrets(env, file).expect("usable")), tenants);
    }

    #[test]
    fn webhook_secrets_come_from_the_environment_and_a_file() {
        check(None, None, "{}");
        let acme = "{TenantId(\"Acme\")}";
        check(Some("{Acme=\"0123456789abcdef\"}"), None, acme);
        check(Some("{Acme=[\"0123456789abcdef\",\"fedcba9876543210\"]}"), None, acme);
        check(None, Some("Acme = \"0123456789abcdef\""), acme);
        check(Some("{Acme=\"0123456789abcdef\"}"), Some("Acme = [\"0123456789abcdef\"]"), acme);
        check(None, Some("\"eu.acme\" = \"0123456789abcdef\""), "{TenantId(\"eu.acme\")}");
    }

    #[test]
    fn an_empty_text_sets_no_secret() {
        let set = |value: &str| {
            let keys = ["pepper", "pepper_file", "previous_pepper", "previous_pepper_file"]
                .map(|key| format!("api_keys.{key}"));
            let audit =
                ["subject_secret", "subject_secret_file", "signing_key", "signing_key_file", "public_keys"]
                    .map(|key| format!("audit.{key}"));
            let defaults = Figment::from(Serialized::defaults(Settings::default()));
            let set = keys
                .iter()
                .chain(&audit)
                .fold(defaults, |settings, key| settings.merge(Serialized::default(key, value)));
            let Settings { api_keys, audit, .. } = set.extract().expect("texts");
            serde_json::json!([api_keys, audit])
        };
        let nothing = serde_json::json!([ApiKeys::default(), Audit::default()]);
        assert_eq!(set(""), nothing);
        assert_eq!(set(" \n"), nothing);
        let something = set("something");
        assert_eq!(something[0]["pepper"], "something");
        assert_eq!(something[1]["signing_key_file"], "something");
    }

    #[test]
    fn secrets_that_cannot_be_used_are_told_without_showing_them() {
        for (file, said) in [
            ("acme = \"short-secret\"", "has 12 bytes"),
            ("acme = []", "has 0 webhook secrets"),
            ("\"a b\" = \"0123456789abcdef\"", "no tenant"),
            ("acme = 7", "cannot be used"),
            ("acme = ", "cannot be used"),
            ("acme = \"short-secret", "cannot be used"),
            ("acme = short-secret", "cannot be used"),
        ] {
            let error = format!("{:#}", secrets(None, Some(file)).expect_err(file));
            assert!(error.contains(said) && !error.contains("short-secret"), "{file}: {error}");
        }
        let missing = Gateway { github_webhook_secrets_file: Some("/nowhere".into()), ..Gateway::default() };
        let error = missing.github_webhook_secrets().expect_err("no such file");
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }
}
