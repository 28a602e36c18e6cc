//! Schemas of Confluent-framed records, fetched in the background: the poll thread never waits for a
//! registry.

use std::{sync::Arc, time::Duration};

use producers::registry::{Registry, RegistryError};
use schemas::codec::{SchemaAnswer, SchemaLookup, SchemaRef};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::runtime::consume::source::Schemas;

/// Most schemas that wait to be requested.
const WAITING: usize = 256;
/// Pause after the registry did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Fetched schemas, and a channel to request more; clones share both.
#[derive(Clone, Default)]
pub(crate) struct FetchedSchemas {
    /// None: no registry is configured, every schema of one is unknown.
    asking: Option<(Arc<Registry>, mpsc::Sender<SchemaRef>)>,
}

impl FetchedSchemas {
    /// Fetches from this registry. The task ends with the last clone.
    pub(crate) fn new(registry: Option<Arc<Registry>>) -> Self {
        let Some(registry) = registry else { return Self::default() };
        let (wanted, waiting) = mpsc::channel(WAITING);
        tokio::spawn(fetch_all(Arc::clone(&registry), waiting));
        Self { asking: Some((registry, wanted)) }
    }
}

impl SchemaLookup for FetchedSchemas {
    fn look_up(&self, schema: SchemaRef) -> SchemaAnswer {
        self.asking.as_ref().map_or(SchemaAnswer::Unknown, |(registry, _)| registry.look_up(schema))
    }
}

impl Schemas for FetchedSchemas {
    fn want(&self, schema: SchemaRef) {
        let refused = self.asking.as_ref().and_then(|(_, wanted)| wanted.try_send(schema).err());
        if refused.is_some() {
            debug!(%schema, "too many schemas requested at once; a later record will request this one again");
        }
    }

    fn is_answered(&self, schema: SchemaRef) -> bool {
        let answered = !matches!(self.look_up(schema), SchemaAnswer::Missing);
        // Nothing is being asked and no answer is there: the wish was lost, or the answer forgotten.
        let idle = || self.asking.as_ref().is_some_and(|(_, wanted)| wanted.capacity() == WAITING);
        if !answered && idle() {
            self.want(schema);
        }
        answered
    }
}

async fn fetch_all(registry: Arc<Registry>, mut waiting: mpsc::Receiver<SchemaRef>) {
    while let Some(schema) = waiting.recv().await {
        // For ever, unless nobody is left who wants it.
        while let Err(RegistryError::Unavailable(error)) = registry.fetch(schema).await {
            if waiting.is_closed() && waiting.is_empty() {
                return;
            }
            warn!(%schema, error, "the schema registry is unavailable; partitions that need a schema wait");
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use producers::registry::RegistryConfig;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

    use super::*;

    async fn registry(answer: ResponseTemplate) -> (MockServer, FetchedSchemas) {
        let server = MockServer::start().await;
        Mock::given(path("/schemas/ids/7")).respond_with(answer).mount(&server).await;
        let registry = Registry::new(RegistryConfig::new(server.uri(), None)).expect("a client");
        (server, FetchedSchemas::new(Some(Arc::new(registry))))
    }

    #[tokio::test]
    async fn what_is_wanted_is_answered_without_waiting_for_it() {
        let gone = ResponseTemplate::new(404).set_body_raw(
            r#"{"error_code":40403,"message":"Schema not found"}"#,
            "application/vnd.schemaregistry.v1+json",
        );
        let (_server, schemas) = registry(gone).await;
        assert!(matches!(schemas.look_up(SchemaRef::Id(7)), SchemaAnswer::Missing));
        schemas.want(SchemaRef::Id(7));
        while !schemas.is_answered(SchemaRef::Id(7)) {
            tokio::task::yield_now().await;
        }
        assert!(matches!(schemas.look_up(SchemaRef::Id(7)), SchemaAnswer::Unknown));
    }

    #[test]
    fn without_a_registry_every_id_is_unknown() {
        let schemas = FetchedSchemas::new(None);
        assert!(
            matches!(schemas.look_up(SchemaRef::Id(1)), SchemaAnswer::Unknown)
                && schemas.is_answered(SchemaRef::Id(1))
        );
    }
}
