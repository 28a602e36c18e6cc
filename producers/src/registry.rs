//! Client of a Confluent-compatible schema registry (Confluent, Karapace, Apicurio's `/apis/ccompat/v7`):
//! registers Weir's schemas and fetches the schemas of foreign records.
//!
//! The schema of an id never changes, so each is fetched once. Errors are classified by what to do: an
//! unreachable registry, or an invalid response, is retried; an unknown id, and a schema that must not be
//! used, are properties of the record.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use schemas::{
    Topic,
    codec::{SchemaAnswer, SchemaIds, SchemaLookup, SchemaRef, WriterSchema, own_schemas},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

/// The media type of the registry's API.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Compatibility level of Weir's subjects.
const COMPATIBILITY: &str = "BACKWARD_TRANSITIVE";
/// The registry's error code for an unknown id or GUID.
const SCHEMA_NOT_FOUND: u32 = 40_403;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a response, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Maximum number of cached schemas; beyond it the cache is cleared.
const MAX_REMEMBERED: usize = 10_000;
/// Time for which a schema counts as unknown before the registry is asked again.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

/// Address of the registry and credentials.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// Base URL, with any path before `/subjects` and `/schemas`.
    pub url: String,
    /// User and password, if required.
    pub basic_auth: Option<(String, SecretString)>,
}

impl RegistryConfig {
    /// The registry at that URL (`SCHEMA_REGISTRY_URL`), with `user:password`
    /// (`SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO`).
    pub fn new(url: impl Into<String>, user_info: Option<&str>) -> Self {
        let split = |info: &str| {
            let (user, password) = info.split_once(':').unwrap_or((info, ""));
            (user.to_owned(), SecretString::from(password.to_owned()))
        };
        Self { url: url.into(), basic_auth: user_info.map(split) }
    }
}

/// Error of a registry request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The registry is unreachable, overloaded or misconfigured, or returns an invalid response: retry for
    /// ever.
    #[error("the schema registry cannot be used now: {0}")]
    Unavailable(String),
    /// The registry has no such schema.
    #[error("the schema registry has no schema of {0}")]
    Unknown(SchemaRef),
    /// The schema must not be used, or the registry rejects it under that subject.
    #[error("schema refused: {0}")]
    Refused(String),
}

/// A registry with a cache. As a [`SchemaLookup`] it answers from the cache only.
pub struct Registry {
    http: Client,
    config: RegistryConfig,
    told: RwLock<HashMap<SchemaRef, Told>>,
}

#[derive(Clone)]
enum Told {
    Schema(Arc<WriterSchema>),
    Refused(String),
    Unknown { since: Instant },
}

impl SchemaLookup for Registry {
    fn look_up(&self, schema: SchemaRef) -> SchemaAnswer {
        match self.told.read().unwrap_or_else(PoisonError::into_inner).get(&schema) {
            Some(Told::Schema(schema)) => SchemaAnswer::Known(Arc::clone(schema)),
            Some(Told::Refused(why)) => SchemaAnswer::Refused(why.clone()),
            Some(Told::Unknown { since }) if since.elapsed() < UNKNOWN_FOR => SchemaAnswer::Unknown,
            Some(Told::Unknown { .. }) | None => SchemaAnswer::Missing,
        }
    }
}

impl Registry {
    /// Creates a client without connecting.
    pub fn new(config: RegistryConfig) -> Result<Self, RegistryError> {
        let mut config = config;
        config.url.truncate(config.url.trim_end_matches('/').len());
        // Refused where the process has a provider already, which is then the one that is used.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = edge::outbound::client_builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(unavailable)?;
        Ok(Self { http, config, told: RwLock::default() })
    }

    /// The schema, fetched if it is not cached. The result, except for `Unavailable`, is what
    /// [`SchemaLookup::look_up`] returns from then on.
    pub async fn fetch(&self, schema: SchemaRef) -> Result<Arc<WriterSchema>, RegistryError> {
        match self.look_up(schema) {
            SchemaAnswer::Known(known) => return Ok(known),
            SchemaAnswer::Refused(why) => return Err(RegistryError::Refused(why)),
            SchemaAnswer::Unknown => return Err(RegistryError::Unknown(schema)),
            SchemaAnswer::Missing => {}
        }
        let answer = self.ask_for(schema).await;
        let told = match &answer {
            Ok(schema) => Told::Schema(Arc::clone(schema)),
            Err(RegistryError::Refused(why)) => Told::Refused(why.clone()),
            Err(RegistryError::Unknown(_)) => Told::Unknown { since: Instant::now() },
            Err(RegistryError::Unavailable(_)) => return answer,
        };
        let mut remembered = self.told.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(schema, told);
        answer
    }

    async fn ask_for(&self, named: SchemaRef) -> Result<Arc<WriterSchema>, RegistryError> {
        let path = match named {
            SchemaRef::Id(id) => format!("/schemas/ids/{id}"),
            SchemaRef::Guid(guid) => format!("/schemas/guids/{guid}"),
        };
        let response = send(self.request(Method::GET, &path)).await?;
        let schema: RegisteredSchema = match response.status() {
            StatusCode::OK => read(response).await?,
            StatusCode::NOT_FOUND => {
                // Also what a wrong path or a proxy says; only the registry's own code tells that the id is unknown.
                let fault: Fault = read(response).await?;
                return Err(match fault.error_code {
                    SCHEMA_NOT_FOUND => RegistryError::Unknown(named),
                    _ => unavailable(fault.message),
                });
            }
            _ => return Err(fault_of(response).await),
        };
        if schema.schema_type.as_deref().is_some_and(|kind| kind != "AVRO") {
            return Err(RegistryError::Refused("it is not an Avro schema".to_owned()));
        }
        if !schema.references.is_empty() {
            return Err(RegistryError::Refused("it refers to schemas of other subjects".to_owned()));
        }
        WriterSchema::parse(&schema.schema).map(Arc::new).map_err(RegistryError::Refused)
    }

    /// Registers every version of Weir's schemas under `<topic>-value` and sets the subjects' compatibility
    /// level; returns the ids of the newest versions. Idempotent.
    pub async fn register(&self) -> Result<SchemaIds, RegistryError> {
        let mut ids = [0; Topic::FAMILIES.len()];
        for (topic, id) in Topic::FAMILIES.into_iter().zip(&mut ids) {
            for own in own_schemas().iter().filter(|own| own.topic == topic) {
                *id = self.register_one(topic, own.json).await?;
                // Some registries know no rule of a subject before its first schema.
                if own.version == 1 {
                    self.demand_compatibility(topic).await?;
                }
            }
        }
        Ok(SchemaIds::new(ids))
    }

    async fn register_one(&self, topic: Topic, schema: &str) -> Result<u32, RegistryError> {
        let request = self.request(Method::POST, &format!("/subjects/{topic}-value/versions"));
        let response = send(request.body(json!({ "schema": schema }).to_string())).await?;
        if response.status() != StatusCode::OK {
            return Err(fault_of(response).await);
        }
        read::<Registered>(response).await.map(|registered| registered.id)
    }

    async fn demand_compatibility(&self, topic: Topic) -> Result<(), RegistryError> {
        let request = self.request(Method::PUT, &format!("/config/{topic}-value"));
        let response = send(request.body(json!({ "compatibility": COMPATIBILITY }).to_string())).await?;
        if response.status() == StatusCode::OK { Ok(()) } else { Err(fault_of(response).await) }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.config.url))
            .header(header::ACCEPT, MEDIA_TYPE)
            .header(header::CONTENT_TYPE, MEDIA_TYPE);
        match &self.config.basic_auth {
            Some((user, password)) => request.basic_auth(user, Some(password.expose_secret())),
            None => request,
        }
    }
}

#[derive(Deserialize)]
struct RegisteredSchema {
    schema: String,
    #[serde(rename = "schemaType", default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct Fault {
    error_code: u32,
    #[serde(default)]
    message: String,
}

async fn send(request: RequestBuilder) -> Result<Response, RegistryError> {
    request.send().await.map_err(|error| unavailable(error.without_url()))
}

/// Classifies an error response: a rejected schema is final; anything else is retried.
async fn fault_of(response: Response) -> RegistryError {
    let status = response.status();
    let said = match read::<Fault>(response).await {
        Ok(fault) => fault.message.chars().take(300).collect(),
        Err(_) => String::new(),
    };
    match status {
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => RegistryError::Refused(said),
        _ => unavailable(format_args!("it answered {status} {said}")),
    }
}

/// Reads a JSON response of bounded size; an invalid one counts as no response.
async fn read<T: for<'de> Deserialize<'de>>(mut response: Response) -> Result<T, RegistryError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(error.without_url()))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(unavailable(format_args!("its answer exceeds {MAX_ANSWER_BYTES} bytes")));
        }
    }
    serde_json::from_slice(&body).map_err(|_| unavailable("its response has an unexpected format"))
}

fn unavailable(why: impl Display) -> RegistryError {
    RegistryError::Unavailable(why.to_string())
}
