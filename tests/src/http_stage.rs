//! A stage that sends the audit log's entries to somebody over HTTP and keeps its positions in Postgres.

use std::{error::Error, time::Duration};

use processors::audit::Audit;
use schemas::changes::AuditEntry;
use sinks::{
    DeliveryError,
    ledger::{AtLeastOnce, Ledger, Transport},
    postgres::SinkConfig,
};
use topology::{
    runtime::{BatchLimits, StageContext},
    topology::{Destination, Topology, from, holding::FAMILIES},
};

/// The stage's name; its processor feeds another stage too.
pub(crate) const STAGE: &str = "audit.http";
/// Entries that one request holds at most.
const MAX_ENTRIES: usize = 100;

/// The stage alone, sending to that address.
pub(crate) fn topology(url: &str) -> Topology {
    Topology::new([from(FAMILIES).through(Audit).named(STAGE).to(Http { url: url.to_owned() })])
}

struct Http {
    url: String,
}

impl Destination for Http {
    type Sink = AtLeastOnce<Post>;

    fn name(&self) -> &'static str {
        "http"
    }

    fn open(&self, context: &StageContext) -> Result<Self::Sink, Box<dyn Error + Send + Sync>> {
        // The client speaks no TLS here and wants a provider all the same; whoever installed one before was quicker.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let post = Post { client, url: self.url.clone() };
        Ok(AtLeastOnce::new(Ledger::new(context.sink_config()), post))
    }

    fn limits(&self, allowed: BatchLimits) -> BatchLimits {
        BatchLimits { records: MAX_ENTRIES, ..allowed }
    }

    fn outbox(&self, context: &StageContext) -> Option<SinkConfig> {
        Some(context.sink_config())
    }
}

pub(crate) struct Post {
    client: reqwest::Client,
    url: String,
}

impl Transport for Post {
    type Change = AuditEntry;

    fn name(&self) -> &'static str {
        "http"
    }

    async fn send(&mut self, entries: &[&AuditEntry]) -> Result<(), DeliveryError> {
        let ids: Vec<String> = entries.iter().map(|entry| entry.event_id.to_string()).collect();
        let answer = self.client.post(&self.url).body(ids.join("\n")).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(DeliveryError::Unavailable(answer.status().to_string())),
            Err(error) => Err(DeliveryError::Unavailable(error.to_string())),
        }
    }
}
