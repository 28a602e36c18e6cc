//! Events that a command writes in Weir's own name, about what an operator did.

use std::time::Duration;

use anyhow::Context;
use chrono::SubsecRound;
use producers::kafka::Purpose;
use schemas::{Envelope, Event, EventId, Source, TenantId, Timestamp};

use crate::place::Place;

/// Time limit for Kafka's acknowledgement of the events.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(15);

/// An event in the audit log of a tenant, about something that an operator did there just now.
pub(crate) fn envelope(
    tenant: TenantId,
    source: &'static str,
    subject: String,
    event: Event,
    now: Timestamp,
) -> Envelope {
    let now = now.trunc_subsecs(6);
    Envelope {
        id: EventId::at(now, rand::random()),
        tenant,
        source: Source::new(source).expect("a URI reference"),
        subject: Some(subject),
        occurred_at: now,
        skewed: false,
        time_assumed: false,
        original_id: None,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event,
        native: None,
    }
}

/// Publishes events and waits until Kafka has them all.
pub(crate) async fn publish(place: &Place, client: &str, events: &[Envelope]) -> anyhow::Result<()> {
    let producer = place.producer(client, Purpose::Gateway).await?;
    let deliveries = events.iter().map(|event| producer.send(event)).collect::<Result<Vec<_>, _>>()?;
    let all = async {
        for delivery in deliveries {
            delivery.await.context("publishing the audit event")?;
        }
        anyhow::Ok(())
    };
    let acknowledged = tokio::time::timeout(ACKNOWLEDGED_WITHIN, all).await;
    acknowledged.context("Kafka did not acknowledge the audit event in time")?
}
