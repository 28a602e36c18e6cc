//! Where the pipeline of this command is: what the environment names, else what `weir up` started here.

use std::path::PathBuf;

use anyhow::{Context, bail};
use producers::kafka::{Producer, ProducerConfig, Purpose};
use producers::registry::{Registry, RegistryConfig};
use schemas::{
    access::{Pepper, Peppers},
    codec::Framing,
};
use sinks::postgres::{PgPool, operator_pool};

use super::{
    credential::Credential,
    deployment::Deployment,
    settings::{Settings, kafka_security, secret},
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
        if endpoints.registry.is_none() {
            endpoints.registry = Deployment::load(&home)?.registry;
        }
        Ok(Self { endpoints, settings: Settings::load()?, home })
    }

    /// A producer for this place, registering the schemas first where a registry is named.
    pub(super) async fn producer(&self, command: &str, purpose: Purpose) -> anyhow::Result<Producer> {
        Ok(Producer::new(&self.producer_config(command, purpose), self.framing().await?)?)
    }

    /// How a producer of this place is set up.
    pub(super) fn producer_config(&self, command: &str, purpose: Purpose) -> ProducerConfig {
        ProducerConfig {
            bootstrap: self.endpoints.kafka.clone(),
            purpose,
            client_id: format!("weir-{command}-{}", std::process::id()),
            extra: kafka_security(),
        }
    }

    /// How records are framed here: with the registry's ids where there is a registry.
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

    /// A connection to the database for what operators do.
    pub(super) fn operator_pool(&self) -> anyhow::Result<PgPool> {
        Ok(operator_pool(&self.endpoints.database_url, 1)?)
    }

    /// Where the query API answers and the token to ask it with.
    pub(super) fn query_api(&self) -> anyhow::Result<(String, String)> {
        let deployment = Deployment::load(&self.home)?;
        let url = self.settings.query_api.url.clone().or_else(|| deployment.query_api_url());
        let Some(url) = url else {
            bail!("no query API runs here: `weir up` starts one, WEIR_QUERY_API__URL names another")
        };
        let token = credential(&deployment)?.for_url(&url)?;
        Ok((url, token))
    }

    /// Where the gateway answers and the token to send commands with.
    pub(super) fn gateway(&self) -> anyhow::Result<(String, String)> {
        let deployment = Deployment::load(&self.home)?;
        let url = self.settings.gateway.url.clone().or_else(|| deployment.gateway_url());
        let Some(url) = url else {
            bail!("no gateway runs here: `weir up` starts one, WEIR_GATEWAY__URL names another")
        };
        let token = credential(&deployment)?.for_url(&url)?;
        Ok((url, token))
    }
}

/// The token that is set, else the local deployment's own, which is good for its own services.
fn credential(deployment: &Deployment) -> anyhow::Result<Credential> {
    if let Some(set) = Credential::from_environment()? {
        return Ok(set);
    }
    let token = deployment
        .token
        .clone()
        .context("no API key is known here: set WEIR_TOKEN to one (`weir key create` makes it)")?;
    Ok(Credential::of_deployment(
        token,
        deployment.gateway_url().into_iter().chain(deployment.query_api_url()),
    ))
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
