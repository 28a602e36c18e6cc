//! Deployment that a command works on: servers that the environment names, else those that `weir up` started
//! here.

use std::path::PathBuf;

use anyhow::Context;
use audit_log::{
    SubjectSecret,
    keys::{self, PrivateKey, PublicKey, Purpose as KeyPurpose},
};
use producers::kafka::{Producer, ProducerConfig, Purpose};
use producers::registry::{Registry, RegistryConfig};
use schemas::{
    access::{Pepper, Peppers},
    codec::Framing,
};
use sinks::postgres::{PgPool, operator_pool};

use super::{
    auth::login,
    credential::{Credential, ServiceUrl},
    deployment::{Deployment, ISSUER, Process},
    issuers,
    settings::{Issuer, Settings, kafka_security, secret},
    transport,
};
use stack::{Endpoints, Stack, StackConfig};

/// Endpoints, settings and the local deployment, as one command sees them.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) endpoints: Endpoints,
    pub(super) settings: Settings,
    pub(super) home: PathBuf,
}

impl Place {
    /// The running pipeline's place. Starts nothing.
    pub(super) async fn find() -> anyhow::Result<Self> {
        let config = StackConfig::shared()?;
        let home = config.home.clone();
        let mut endpoints = Stack::new(config).joined().await.context(
            "no pipeline runs here: start one with `weir up`, or name one with KAFKA_BOOTSTRAP_SERVERS and \
             DATABASE_URL",
        )?;
        transport::check(&endpoints)?;
        if endpoints.registry.is_none() {
            endpoints.registry = Deployment::load(&home)?.registry;
        }
        Ok(Self { endpoints, settings: Settings::load()?, home })
    }

    /// This place without its servers: what is set, and what the local deployment keeps.
    pub(super) fn here() -> anyhow::Result<Self> {
        let config = StackConfig::shared()?;
        let endpoints = Endpoints::default();
        Ok(Self { endpoints, settings: Settings::load()?, home: config.home })
    }

    /// A producer for this place, registering the schemas first where a registry is named.
    pub(super) async fn producer(&self, command: &str, purpose: Purpose) -> anyhow::Result<Producer> {
        Ok(Producer::new(&self.producer_config(command, purpose), self.framing().await?)?)
    }

    /// Configuration of a producer in this deployment.
    pub(super) fn producer_config(&self, command: &str, purpose: Purpose) -> ProducerConfig {
        ProducerConfig {
            bootstrap: self.endpoints.kafka.clone(),
            purpose,
            client_id: format!("weir-{command}-{}", std::process::id()),
            extra: kafka_security(),
        }
    }

    /// Framing of records: with the schema registry's ids if there is a registry.
    pub(super) async fn framing(&self) -> anyhow::Result<Framing> {
        let Some(registry) = self.registry()? else { return Ok(Framing::SingleObject) };
        let ids = registry.register().await.context("registering the event schemas")?;
        Ok(Framing::Confluent(ids))
    }

    /// A client of the schema registry, where there is one.
    pub(super) fn registry(&self) -> anyhow::Result<Option<Registry>> {
        let Some(url) = &self.endpoints.registry else { return Ok(None) };
        let user_info = secret("SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO")?;
        Ok(Some(Registry::new(RegistryConfig::new(url, user_info.as_deref()))?))
    }

    /// The secrets under which API keys are hashed.
    pub(super) fn peppers(&self) -> anyhow::Result<Peppers> {
        peppers(&self.settings, &self.home)
    }

    /// Secret from which the audit log's subject keys are derived, if it is set or the local deployment has
    /// one.
    pub(super) fn subject_secret(&self) -> anyhow::Result<Option<SubjectSecret>> {
        let audit = &self.settings.audit;
        let own = self.home.join(SUBJECT_SECRET);
        let (text, from) = match (&audit.subject_secret, &audit.subject_secret_file) {
            (Some(text), _) => (text.clone(), "WEIR_AUDIT__SUBJECT_SECRET".to_owned()),
            (None, Some(file)) => (read(file)?, file.display().to_string()),
            (None, None) if own.exists() => (read(&own)?, own.display().to_string()),
            (None, None) => return Ok(None),
        };
        let secret = SubjectSecret::new(text.trim_end().as_bytes());
        Ok(Some(secret.with_context(|| format!("the secret from {from} cannot be used"))?))
    }

    /// Keys that sign the audit log's checkpoints; empty if none is set and the local deployment has none.
    pub(super) fn signing_keys(&self) -> anyhow::Result<Vec<PrivateKey>> {
        signing_keys(&self.settings, &self.home)
    }

    /// The public keys of the audit log: those that are set, else those of the signing keys.
    pub(super) fn log_keys(&self) -> anyhow::Result<Vec<PublicKey>> {
        match &self.settings.audit.public_keys {
            Some(text) => public_keys(text, KeyPurpose::Log),
            None => Ok(self.signing_keys()?.iter().map(|key| key.public(KeyPurpose::Log)).collect()),
        }
    }

    /// A connection to the database for what operators do.
    pub(super) fn operator_pool(&self) -> anyhow::Result<PgPool> {
        Ok(operator_pool(&self.endpoints.database_url, 1)?)
    }

    /// The issuers of the settings, and the one that `weir up --issuer` started here.
    pub(super) fn issuers(&self) -> anyhow::Result<Vec<Issuer>> {
        let scripted = Deployment::load(&self.home)?.running(ISSUER).map(Process::url);
        issuers::known(&self.settings, scripted.as_deref())
    }

    /// The URLs of the issuers.
    pub(super) fn issuer_urls(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.issuers()?.iter().map(|issuer| issuer.url().to_owned()).collect())
    }

    /// The URLs of the gateway and the query API, as far as they are known here.
    pub(super) fn service_urls(&self) -> anyhow::Result<Vec<ServiceUrl>> {
        let deployment = Deployment::load(&self.home)?;
        Ok(self.gateway_url(&deployment).into_iter().chain(self.query_api_url(&deployment)).collect())
    }

    fn gateway_url(&self, deployment: &Deployment) -> Option<ServiceUrl> {
        let set = self.settings.gateway.url.clone();
        let set = set.map(|url| ServiceUrl::of_settings(url, "WEIR_GATEWAY__URL"));
        set.or_else(|| deployment.gateway_url().map(ServiceUrl::of_deployment))
    }

    fn query_api_url(&self, deployment: &Deployment) -> Option<ServiceUrl> {
        let set = self.settings.query_api.url.clone();
        let set = set.map(|url| ServiceUrl::of_settings(url, "WEIR_QUERY_API__URL"));
        set.or_else(|| deployment.query_api_url().map(ServiceUrl::of_deployment))
    }

    /// URL of the query API, and the token for it.
    pub(super) fn query_api(&self) -> anyhow::Result<(String, String)> {
        let deployment = Deployment::load(&self.home)?;
        let service = self
            .query_api_url(&deployment)
            .context("no query API runs here: `weir up` starts one, WEIR_QUERY_API__URL names another")?;
        let token = self.credential(&deployment)?.for_service(&service)?;
        Ok((service.into_url(), token))
    }

    /// URL of the gateway, and the token for commands.
    pub(super) fn gateway(&self) -> anyhow::Result<(String, String)> {
        let deployment = Deployment::load(&self.home)?;
        let service = self
            .gateway_url(&deployment)
            .context("no gateway runs here: `weir up` starts one, WEIR_GATEWAY__URL names another")?;
        let token = self.credential(&deployment)?.for_service(&service)?;
        Ok((service.into_url(), token))
    }

    /// The token that is set, else that of whoever signed in, else the local deployment's own; the latter
    /// two are good for the services that they were made for.
    fn credential(&self, deployment: &Deployment) -> anyhow::Result<Credential> {
        if let Some(set) = Credential::from_environment()? {
            return Ok(set);
        }
        if let Some(kept) = login::kept(&self.home, chrono::Utc::now())? {
            return Credential::of_login(&kept);
        }
        let token = deployment.token.clone().context(
            "no token is known here: `weir auth login` signs in, or set WEIR_TOKEN to a key (`weir key create`)",
        )?;
        Ok(Credential::of_deployment(
            token,
            deployment.gateway_url().into_iter().chain(deployment.query_api_url()),
        ))
    }
}

/// The file of the local deployment's own signing key.
pub(super) const SIGNING_KEY: &str = "log-signing-key";
/// The file of the key of the witness that `weir up --witness` starts.
pub(super) const WITNESS_KEY: &str = "witness-key";
/// The file of the local deployment's own secret.
pub(super) const SUBJECT_SECRET: &str = "subject-secret";

/// The public keys of a text, one a line.
pub(super) fn public_keys(text: &str, purpose: KeyPurpose) -> anyhow::Result<Vec<PublicKey>> {
    let lines = text.lines().map(str::trim).zip(1..);
    let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    // Somebody may have put a private key there: it is not shown.
    let parse = |(line, number): (&str, usize)| {
        PublicKey::parse(line, purpose).with_context(|| format!("the public key in line {number}"))
    };
    lines.map(parse).collect()
}

pub(super) fn read(file: &std::path::Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// The signing keys that are set, else the local deployment's own; empty if there are none.
pub(super) fn signing_keys(settings: &Settings, home: &std::path::Path) -> anyhow::Result<Vec<PrivateKey>> {
    let audit = &settings.audit;
    let own = home.join(SIGNING_KEY);
    let (text, from) = match (&audit.signing_key, &audit.signing_key_file) {
        (Some(text), _) => (text.clone(), "WEIR_AUDIT__SIGNING_KEY".to_owned()),
        (None, Some(file)) => (read(file)?, file.display().to_string()),
        (None, None) if own.exists() => (read(&own)?, own.display().to_string()),
        (None, None) => return Ok(Vec::new()),
    };
    keys::parse_all(&text).with_context(|| format!("the signing key from {from} cannot be used"))
}

/// The peppers that are set, else the local deployment's own.
pub(super) fn peppers(settings: &Settings, home: &std::path::Path) -> anyhow::Result<Peppers> {
    let keys = &settings.api_keys;
    let checked = |text: String, name: &str| {
        Pepper::checked(text).with_context(|| format!("the setting api_keys.{name} cannot be used"))
    };
    let current = if let Some(pepper) = &keys.pepper {
        pepper.clone()
    } else {
        let file = keys.pepper_file.clone().unwrap_or_else(|| home.join("pepper"));
        std::fs::read_to_string(&file).with_context(|| {
            format!(
                "the pepper of the API keys is not at {}: `weir up` makes one; elsewhere set \
                 WEIR_API_KEYS__PEPPER_FILE",
                file.display()
            )
        })?
    };
    let previous = match (&keys.previous_pepper, &keys.previous_pepper_file) {
        (Some(pepper), _) => Some(pepper.clone()),
        (None, Some(file)) => {
            let read = std::fs::read_to_string(file);
            Some(read.with_context(|| format!("the previous pepper is not at {}", file.display()))?)
        }
        (None, None) => None,
    };
    Ok(Peppers {
        current: checked(current.trim_end().to_owned(), "pepper")?,
        previous: previous.map(|text| checked(text.trim_end().to_owned(), "previous_pepper")).transpose()?,
    })
}
