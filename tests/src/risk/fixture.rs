//! Facts about risk, and a database in which they are stored.

use std::sync::Arc;

use rand::{Rng as _, SeedableRng, rngs::StdRng};
use schemas::{
    EventId, TenantId, Timestamp, Topic,
    changes::risk::{
        Entity, EntityKind, EntityWeight, IncidentTriage, RiskChange, RiskSignal, SignalEvidence,
        SignalLevel, SignalRule, TriageDecision, hazard_micronats,
    },
};
use sinks::read_models::risk::RiskSignals;
use uuid::Uuid;

use crate::support::projection::{self, Projection};

/// Changes that one event causes.
pub(crate) type Event = Vec<RiskChange>;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
}

pub(crate) fn user(id: &str) -> Entity {
    Entity::new(EntityKind::User, id).expect("a name")
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("acme").expect("valid")
}

pub(crate) fn event_id(n: u64) -> EventId {
    EventId::new(Uuid::from_u128(u128::from(n) + 1)).expect("not nil")
}

/// The signal of a rule with that level on the n-th event.
pub(crate) fn signal(n: u64, rule: &str, level: SignalLevel, entity: &Entity, seconds: i64) -> RiskSignal {
    RiskSignal {
        tenant: tenant(),
        event_id: event_id(n),
        occurred_at: at(seconds),
        entity: entity.clone(),
        rule: Arc::new(SignalRule {
            id: rule.to_owned(),
            version: "1".to_owned(),
            title: format!("Rule {rule}"),
            author: Some("Ada".to_owned()),
            file: format!("{rule}.yml"),
            level,
            tactics: vec![format!("tactic-{rule}")],
            techniques: vec!["T1078".to_owned()],
        }),
        score: level.score(),
        hazard_micronats: hazard_micronats(level.score()),
        dedupe_key: String::new(),
        evidence: Arc::new(SignalEvidence {
            actor: "ada".to_owned(),
            action: "CreateAccessKey".to_owned(),
            source: "/test".to_owned(),
            native_format: "aws.cloudtrail".to_owned(),
            matched: r#"{"eventName":"CreateAccessKey"}"#.to_owned(),
        }),
        content_sha256: [u8::try_from(n % 251).expect("small"); 32],
    }
}

pub(crate) fn fact(signal: RiskSignal) -> RiskChange {
    RiskChange::Signal(Box::new(signal))
}

pub(crate) fn criticality(n: u64, entity: &Entity, factor_thousandths: i32, seconds: i64) -> RiskChange {
    RiskChange::Weight(Box::new(EntityWeight {
        tenant: tenant(),
        event_id: event_id(n),
        decided_at: at(seconds),
        expires_at: None,
        entity: entity.clone(),
        weight_source: "criticality".to_owned(),
        factor_thousandths,
        decision: "set".to_owned(),
        reason: None,
        actor: "grace".to_owned(),
        content_sha256: [7; 32],
    }))
}

pub(crate) fn triage(
    n: u64,
    incident_id: Uuid,
    entity: &Entity,
    (decision, rules): (TriageDecision, &[&str]),
    seconds: i64,
) -> RiskChange {
    RiskChange::Triage(Box::new(IncidentTriage {
        tenant: tenant(),
        event_id: event_id(n),
        decided_at: at(seconds),
        incident_id,
        entity: entity.clone(),
        decision,
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        reason: Some("looked at it".to_owned()),
        actor: "grace".to_owned(),
        content_sha256: [8; 32],
    }))
}

/// Events of a few weeks about a few entities; the same ones for the same seed.
pub(crate) fn events(seed: u64, count: u64) -> Vec<Event> {
    let mut dice = StdRng::seed_from_u64(seed);
    let entities = ["ada", "grace", "eve", "mallory"].map(user);
    (0..count).map(|n| event(n, &entities, &mut dice)).collect()
}

fn event(n: u64, entities: &[Entity], dice: &mut StdRng) -> Event {
    let seconds = dice.random_range(0..40 * 86_400);
    let entity = &entities[dice.random_range(0..entities.len())];
    match dice.random_range(0..20) {
        0 => vec![criticality(n, entity, [500, 1000, 1500, 2000][dice.random_range(0..4)], seconds)],
        1 => {
            let id = Uuid::from_u128(dice.random_range(1..4));
            let decision = TriageDecision::ALL[dice.random_range(0..4)];
            vec![triage(n, id, entity, (decision, &["a", "c"]), seconds)]
        }
        _ => {
            let rule = ["a", "b", "c", "d", "e"][dice.random_range(0..5)];
            let level = SignalLevel::ALL[dice.random_range(0..5)];
            let mut one = signal(n, rule, level, entity, seconds);
            if dice.random_bool(0.3) {
                ["x", "y"][dice.random_range(0..2)].clone_into(&mut one.dedupe_key);
            }
            let other = &entities[dice.random_range(0..entities.len())];
            let second = RiskSignal { entity: other.clone(), ..one.clone() };
            if second.entity == one.entity { vec![fact(one)] } else { vec![fact(one), fact(second)] }
        }
    }
}

/// Delivers the changes of events to the stage's sink.
pub(crate) struct Risk;

impl Projection for Risk {
    type Model = RiskSignals;
    type Event = Event;
    const STAGE: &'static str = "risk";
    const TOPIC: Topic = Topic::Activity;

    fn model() -> RiskSignals {
        RiskSignals::new()
    }

    fn changes(event: &Event) -> Vec<RiskChange> {
        event.clone()
    }
}

pub(crate) type Place = projection::Place<Risk>;
pub(crate) type Member = projection::Member<Risk>;

impl Place {
    /// The weighted hazard of a user, in micronats, as it is stored; 0 where nothing counts and no row is kept.
    pub(crate) async fn hazard(&mut self, entity: &str) -> i64 {
        sqlx::query_scalar::<_, i64>("SELECT hazard_micronats FROM entity_risk WHERE entity = $1")
            .bind(entity)
            .fetch_optional(&mut self.owner)
            .await
            .expect("the entity's row")
            .unwrap_or(0)
    }
}
