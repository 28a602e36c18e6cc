//! Events that show resources, and a database in which they are stored.

use std::sync::LazyLock;

use chrono::TimeDelta;
use processors::{Processor, compliance::Compliance};
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, Timestamp, Topic,
    changes::ComplianceChange,
    events::{
        Actor, ActorKind, Governance, GovernanceKind, Infrastructure, InfrastructureKind, Outcome,
        OutcomeStatus, Resource,
    },
};
use serde_json::{Value, json};
use sinks::read_models::compliance::Observations;
use uuid::Uuid;

use crate::support::projection::{self, Projection};

/// Tables that the stage writes.
pub(crate) const TABLES: [&str; 10] = [
    "compliance_observation",
    "compliance_verdict",
    "compliance_policy",
    "compliance_applied",
    "compliance_resource",
    "compliance_state",
    "compliance_finding",
    "compliance_waiver_fact",
    "compliance_waiver",
    "compliance_waived",
];
/// The policy that volumes are judged by.
pub(crate) const ENCRYPTED: &str = "aws-ebs-volume-encrypted";

/// The instant so many hours after the first.
pub(crate) fn hour(hours: i64) -> Timestamp {
    let first: Timestamp = "2026-03-01T00:00:00Z".parse().expect("an instant");
    first + TimeDelta::hours(hours)
}

pub(crate) fn envelope(n: u64, at: Timestamp, event: Event) -> Envelope {
    Envelope {
        id: EventId::new(Uuid::from_u128(u128::from(n) + 1)).expect("not nil"),
        original_id: None,
        tenant: TenantId::new("acme").expect("a plain name"),
        source: Source::new("/test").expect("valid"),
        subject: None,
        occurred_at: at,
        skewed: false,
        time_assumed: false,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event,
        native: None,
    }
}

fn infrastructure(kind: InfrastructureKind, id: &str, project: &str) -> Infrastructure {
    let resource = Resource {
        kind: Some("aws_ebs_volume".into()),
        id: id.into(),
        project: Some(project.into()),
        ..Resource::default()
    };
    Infrastructure {
        kind,
        resource,
        actor: None,
        outcome: Outcome::default(),
        change_id: None,
        quantity: None,
        unit: None,
        configuration: None,
    }
}

/// A volume as it was seen, the n-th event; the project is named by the first letter of its id.
pub(crate) fn volume(n: u64, id: &str, encrypted: bool, at: Timestamp) -> Envelope {
    let mut event = infrastructure(InfrastructureKind::ConfigurationObserved, id, &id[..1]);
    event.configuration = Some(json!({ "encrypted": encrypted }).to_string());
    envelope(n, at, Event::Infrastructure(event))
}

/// A volume whose encryption nothing says.
pub(crate) fn unknown(n: u64, id: &str, at: Timestamp) -> Envelope {
    let mut event = infrastructure(InfrastructureKind::ConfigurationObserved, id, &id[..1]);
    let document = json!({ "type": "aws_ebs_volume", "config": {}, "unknown": { "encrypted": true } });
    event.configuration = Some(document.to_string());
    envelope(n, at, Event::Infrastructure(event))
}

/// A volume that was deleted.
pub(crate) fn deleted(n: u64, id: &str, at: Timestamp) -> Envelope {
    envelope(n, at, Event::Infrastructure(infrastructure(InfrastructureKind::Deleted, id, &id[..1])))
}

/// A change with a plan that makes, or deletes, a volume; and its completion.
pub(crate) fn planned(n: u64, change: &str, encrypted: Option<bool>, at: Timestamp) -> Envelope {
    let after = encrypted.map(|encrypted| json!({ "encrypted": encrypted }));
    let entry = json!({
        "address": "aws_ebs_volume.planned", "mode": "managed", "type": "aws_ebs_volume", "name": "planned",
        "change": {"actions": [if after.is_some() { "create" } else { "delete" }], "before": null, "after": after,
                   "after_unknown": {}}});
    plan_of(n, change, &entry, at)
}

/// A change with a plan of one entry.
pub(crate) fn plan_of(n: u64, change: &str, entry: &Value, at: Timestamp) -> Envelope {
    let mut event = infrastructure(InfrastructureKind::ChangeProposed, "w", "w");
    event.change_id = Some(change.into());
    let plan = json!({"format_version": "1.2", "resource_changes": [entry]});
    let mut envelope = envelope(n, at, Event::Infrastructure(event));
    envelope.native = Some(Native { format: "terraform.plan".into(), record: plan.to_string().into() });
    envelope
}

pub(crate) fn completed(n: u64, change: &str, at: Timestamp) -> Envelope {
    let mut event = infrastructure(InfrastructureKind::Completed, "w", "w");
    event.change_id = Some(change.into());
    envelope(n, at, Event::Infrastructure(event))
}

/// The end of a change that was rolled back.
pub(crate) fn rolled_back(n: u64, change: &str, at: Timestamp) -> Envelope {
    let mut event = infrastructure(InfrastructureKind::Completed, "w", "w");
    event.change_id = Some(change.into());
    event.outcome.status = OutcomeStatus::Success;
    event.outcome.code = Some("rolled_back".into());
    envelope(n, at, Event::Infrastructure(event))
}

/// A step of a waiver of the policy for these resources.
pub(crate) fn waiver(
    n: u64,
    (id, actor): (&str, &str),
    (kind, resources): (GovernanceKind, &[&str]),
    at: Timestamp,
    until: Option<Timestamp>,
) -> Envelope {
    let terms = [
        ("owner".to_owned(), "olga".to_owned()),
        ("policies".to_owned(), json!([ENCRYPTED]).to_string()),
        ("resources".to_owned(), json!(resources).to_string()),
    ];
    let asked = kind == GovernanceKind::ApprovalRequested;
    let event = Governance {
        kind,
        subject_kind: "waiver".into(),
        subject_id: id.into(),
        actor: Actor { kind: ActorKind::User, id: actor.into(), ..Actor::default() },
        decision: None,
        reason: Some("moved next month".into()),
        expires_at: until,
        attributes: if asked { terms.into() } else { [].into() },
    };
    envelope(n, at, Event::Governance(event))
}

/// A request and its grant by somebody else an hour later, good until then.
pub(crate) fn granted(
    n: u64,
    id: &str,
    resources: &[&str],
    at: Timestamp,
    until: Timestamp,
) -> [Envelope; 2] {
    let request = (GovernanceKind::ApprovalRequested, resources);
    [
        waiver(n, (id, "ada"), request, at, Some(until)),
        waiver(n + 1, (id, "bob"), (GovernanceKind::WaiverGranted, &[]), at + TimeDelta::hours(1), None),
    ]
}

/// Events of a few days, volumes and changes; the same ones for the same seed.
pub(crate) fn events(seed: u64, count: u64) -> Vec<Envelope> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut all: Vec<Envelope> = (0..count).map(|n| any_event(n, &mut dice)).collect();
    all.extend(granted(count, "w-1", &["a-0", "b-1"], hour(5), hour(60)));
    all.extend(granted(count + 10, "w-2", &["a-0"], hour(30), hour(80)));
    all.push(waiver(count + 20, ("w-2", "bob"), (GovernanceKind::WaiverRevoked, &[]), hour(50), None));
    all.push(waiver(count + 21, ("w-3", "ada"), (GovernanceKind::WaiverGranted, &[]), hour(8), None));
    all
}

fn any_event(n: u64, dice: &mut StdRng) -> Envelope {
    let id = format!("{}-{}", ["a", "b"][dice.random_range(0..2)], dice.random_range(0..3));
    let at = hour(dice.random_range(0..100));
    let change = format!("c-{}", dice.random_range(0..3));
    match dice.random_range(0..12) {
        0 => deleted(n, &id, at),
        1 => unknown(n, &id, at),
        2 => planned(n, &change, Some(dice.random()), at),
        3 => completed(n, &change, at),
        4 => planned(n, &change, None, at),
        _ => volume(n, &id, dice.random(), at),
    }
}

/// Delivers the processor's changes to the stage's sink.
pub(crate) struct Judged;

impl Projection for Judged {
    type Model = Observations;
    type Event = Envelope;
    const STAGE: &'static str = Compliance::NAME;
    const TOPIC: Topic = Topic::Infrastructure;
    const ROW: &'static str = "(to_jsonb(t) - 'partition' - 'record_offset')::text";

    fn model() -> Observations {
        Observations::default()
    }

    fn changes(event: &Envelope) -> Vec<ComplianceChange> {
        static COMPLIANCE: LazyLock<Compliance> = LazyLock::new(Compliance::default);
        COMPLIANCE.process(event)
    }
}

pub(crate) type Place = projection::Place<Judged>;
