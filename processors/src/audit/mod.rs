//! Audit: maps every event of every family to one OCSF 1.8.0 record, with columns for filters.

mod class;
mod family;
mod object;
mod party;
mod record;
mod restored;
#[cfg(test)]
mod tests;
mod unmapped;

use schemas::{
    Envelope, Event,
    changes::{AuditEntry, audit::STAGE},
    events::{Actor, ActorKind, OutcomeStatus},
};

use self::record::Record;
pub use self::restored::{NotRestorable, restore};
use crate::Processor;

/// Maps every event to exactly one [`AuditEntry`], whatever its kind; none is left out or rejected.
///
/// The record is JSON in the canonical form of RFC 8785, so equal envelopes give equal bytes on every machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Audit;

impl Processor for Audit {
    type Input = Envelope;
    type Change = AuditEntry;
    const NAME: &'static str = STAGE;

    fn process(&self, envelope: &Envelope) -> Vec<AuditEntry> {
        vec![entry(envelope)]
    }
}

/// Mapping of an event by its family: the record, and the values of columns.
struct Described<'a> {
    record: Record<'a>,
    actor: Option<&'a Actor>,
    action: &'a str,
    resource_type: Option<&'a str>,
    resource: Option<&'a str>,
    other_resources: Vec<&'a str>,
    project: Option<&'a str>,
    outcome: OutcomeStatus,
    outcome_code: Option<&'a str>,
}

fn describe(envelope: &Envelope) -> Described<'_> {
    match &envelope.event {
        Event::Activity(event) => family::activity::describe(envelope, event),
        Event::Infrastructure(event) => family::infrastructure::describe(envelope, event),
        Event::Delivery(event) => family::delivery::describe(envelope, event),
        Event::Usage(event) => family::usage::describe(envelope, event),
        Event::Monitoring(event) => family::monitoring::describe(envelope, event),
        Event::Governance(event) => family::governance::describe(envelope, event),
        // `Event` may grow: a family without a description of its own is still audited.
        _ => family::undescribed(envelope),
    }
}

fn entry(envelope: &Envelope) -> AuditEntry {
    let described = describe(envelope);
    let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
    let actor = described.actor;
    AuditEntry {
        event_id: envelope.id,
        tenant: envelope.tenant.clone(),
        occurred_at: envelope.occurred_at,
        class_uid: described.record.class_uid,
        activity_id: described.record.activity_id,
        severity_id: described.record.severity_id,
        kind: envelope.event.kind_name(),
        actor_kind: actor.map_or(ActorKind::Unknown, |actor| actor.kind),
        actor: actor.map(|actor| actor.id.clone()).unwrap_or_default(),
        actor_name: actor.and_then(|actor| actor.name.clone()),
        actor_ip: actor.and_then(|actor| actor.ip.clone()),
        action: described.action.to_owned(),
        resource_type: owned(described.resource_type),
        resource: owned(described.resource),
        other_resources: described.other_resources.into_iter().map(ToOwned::to_owned).collect(),
        project: owned(described.project),
        outcome: described.outcome,
        outcome_code: owned(described.outcome_code),
        source: envelope.source.as_str().to_owned(),
        correlation_id: envelope.correlation_id.clone(),
        content_sha256: envelope.content_sha256(),
        record: described.record.finish(envelope),
    }
}
