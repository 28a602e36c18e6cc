//! Events through the compliance processor.

mod activity;
mod aws_config;
mod cloud;
mod infrastructure;
mod waivers;

use std::sync::LazyLock;

use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, Timestamp,
    changes::compliance::{Observation, VerdictStatus},
    events::{Activity, ActivityKind, Actor, Outcome, OutcomeStatus, Resource},
};
use uuid::Uuid;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn envelope(event: Event, native: Option<(&str, String)>) -> Envelope {
    Envelope {
        id: EventId::new(Uuid::from_u128(7)).expect("not nil"),
        original_id: None,
        tenant: TenantId::new("acme").expect("a plain name"),
        source: Source::new("/test").expect("a source"),
        subject: None,
        occurred_at: at("2026-03-01T12:00:00Z"),
        skewed: false,
        time_assumed: false,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event,
        native: native.map(|(format, record)| Native { format: format.into(), record: record.into() }),
    }
}

/// A call that succeeded, and its record.
fn call(format: &str, (service, action): (&str, &str), resource: Resource, record: String) -> Envelope {
    let activity = Activity {
        kind: ActivityKind::ApiCalled,
        action: action.into(),
        service: Some(service.into()),
        actor: Actor::default(),
        resources: vec![resource],
        outcome: Outcome { status: OutcomeStatus::Success, ..Outcome::default() },
        read_only: Some(false),
        request_id: None,
    };
    envelope(Event::Activity(activity), Some((format, record)))
}

fn observations(envelope: &Envelope) -> Vec<Observation> {
    /// Weir's own policies, which take a while to load.
    static OWN: LazyLock<Compliance> = LazyLock::new(Compliance::default);
    let one = |change| match change {
        ComplianceChange::Observation(one) => *one,
        other => panic!("no observation: {other:?}"),
    };
    OWN.process(envelope).into_iter().map(one).collect()
}

fn one(envelope: &Envelope) -> Observation {
    let mut all = observations(envelope);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Ids of the policies with an answer.
fn with(observation: &Observation, status: VerdictStatus) -> Vec<&str> {
    let of_status = observation.verdicts.iter().filter(|verdict| verdict.status == status);
    of_status.map(|verdict| verdict.policy.id.as_str()).collect()
}
