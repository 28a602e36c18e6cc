//! Events about changes, and a database in which their facts are stored.

use processors::{Processor, change_review::ChangeReview};
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, Timestamp, Topic,
    changes::ChangeFact,
    envelope::native_format,
    events::{
        Actor, ActorKind, Governance, GovernanceKind, Infrastructure, InfrastructureKind, Outcome,
        OutcomeStatus, Resource,
    },
};
use serde_json::{Value, json};
use sinks::read_models::change_review::ChangeReviews;
use uuid::Uuid;

use crate::support::projection::{self, Projection};

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
}

fn envelope(n: u64, tenant: &str, seconds: i64, event: Event) -> Envelope {
    Envelope {
        id: EventId::new(Uuid::from_u128(u128::from(n) + 1)).expect("not nil"),
        tenant: TenantId::new(tenant).expect("valid"),
        source: Source::new("/test").expect("valid"),
        subject: None,
        occurred_at: at(seconds),
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

/// Something that happened to a change, as the n-th event.
pub(crate) fn infrastructure(n: u64, change: &str, kind: InfrastructureKind, seconds: i64) -> Envelope {
    let failed = kind == InfrastructureKind::Failed;
    let event = Infrastructure {
        kind,
        resource: Resource {
            id: format!("{change}/main"),
            project: Some("shop".into()),
            ..Resource::default()
        },
        actor: None,
        outcome: Outcome {
            status: if failed { OutcomeStatus::Failure } else { OutcomeStatus::Success },
            ..Outcome::default()
        },
        change_id: Some(change.into()),
        quantity: None,
        unit: None,
        configuration: None,
    };
    envelope(n, "acme", seconds, Event::Infrastructure(event))
}

/// A plan that does this to one resource.
pub(crate) fn plan_of(action: &str, address: &str) -> Value {
    let kind = address.split('.').next().expect("a type");
    json!({
        "format_version": "1.2", "terraform_version": "1.9.0", "complete": true, "errored": false,
        "resource_changes": [{
            "address": address, "mode": "managed", "type": kind, "name": "main",
            "change": { "actions": [action], "before": {}, "after": {}, "after_unknown": {} },
        }],
    })
}

/// A proposal that deletes a resource: a database asks for one approval, in production it is blocked.
pub(crate) fn proposed(n: u64, change: &str, deletes: &str, seconds: i64) -> Envelope {
    let mut envelope = infrastructure(n, change, InfrastructureKind::ChangeProposed, seconds);
    let record = plan_of("delete", deletes).to_string();
    envelope.native = Some(Native { format: native_format::TERRAFORM_PLAN.into(), record: record.into() });
    envelope
}

fn governance(kind: GovernanceKind, change: &str, actor: &str) -> Governance {
    Governance {
        kind,
        subject_kind: "change".into(),
        subject_id: change.into(),
        actor: Actor { kind: ActorKind::User, id: actor.into(), ..Actor::default() },
        decision: None,
        reason: Some("read it".into()),
        expires_at: None,
        attributes: [].into(),
    }
}

pub(crate) fn asked(n: u64, change: &str, actor: &str, seconds: i64) -> Envelope {
    let event = governance(GovernanceKind::ApprovalRequested, change, actor);
    envelope(n, "acme", seconds, Event::Governance(event))
}

pub(crate) fn decided(n: u64, change: &str, (actor, word): (&str, &str), seconds: i64) -> Envelope {
    let mut event = governance(GovernanceKind::ApprovalDecided, change, actor);
    event.decision = Some(word.into());
    envelope(n, "acme", seconds, Event::Governance(event))
}

/// Events about a few changes, many of them at the same time and in no sensible order; the same ones for the same seed.
pub(crate) fn events(seed: u64, count: u64) -> Vec<Envelope> {
    let mut dice = StdRng::seed_from_u64(seed);
    (0..count).map(|n| any_event(n, &mut dice)).collect()
}

fn any_event(n: u64, dice: &mut StdRng) -> Envelope {
    use InfrastructureKind as Kind;
    let change = format!("CR-{}", dice.random_range(0..7));
    let seconds = dice.random_range(0..30);
    let actor = ["ada", "bob", "eve", "cid"][dice.random_range(0..4)];
    match dice.random_range(0..10) {
        0 | 1 => {
            let address =
                ["aws_db_instance.a", "aws_db_instance.prod", "null_resource.a", "aws_ebs_volume.prod"]
                    [dice.random_range(0..4)];
            proposed(n, &change, address, seconds)
        }
        2 | 3 => asked(n, &change, actor, seconds),
        4..7 => {
            let word = ["approved", "approved", "rejected", "perhaps"][dice.random_range(0..4)];
            decided(n, &change, (actor, word), seconds)
        }
        _ => {
            let kinds = [
                Kind::Provisioned,
                Kind::Failed,
                Kind::Completed,
                Kind::Deleted,
                Kind::ConfigurationObserved,
            ];
            infrastructure(n, &change, kinds[dice.random_range(0..kinds.len())], seconds)
        }
    }
}

/// Delivers the processor's changes to the stage's sink.
pub(crate) struct Changes;

impl Projection for Changes {
    type Model = ChangeReviews;
    type Event = Envelope;
    const STAGE: &'static str = ChangeReview::NAME;
    const TOPIC: Topic = Topic::Infrastructure;
    const ROW: &'static str = "(to_jsonb(t) - '{topic,partition,record_offset}'::text[])::text";

    fn model() -> ChangeReviews {
        ChangeReviews
    }

    fn changes(event: &Envelope) -> Vec<ChangeFact> {
        ChangeReview::default().process(event)
    }
}

pub(crate) type Place = projection::Place<Changes>;
