//! Derives exposures, the entities' risk, and incidents from new facts.

use std::collections::{BTreeMap, BTreeSet};

use projections::risk::{
    Exposure, Incident, Known, Outcome, assessment::MAX_AGE_HOURS, first_affected_hour, hour_of,
    incidents::EVIDENCE_HOURS,
};
use schemas::{
    TenantId, Topic,
    changes::risk::{Entity, RiskChange},
};
use sqlx::PgConnection;

use super::{
    correlation::{Correlated, Reported, Withdrawn},
    entity_facts::{self, EntityKey, Wanted},
    exposure_cache::{ExposureCache, KeptExposures},
    exposures, findings,
    rules::Rules,
    stored::{self, Stored},
};
use crate::{
    batch::TopicPartition,
    outbox::Outgoing,
    read_models::{Fact, computed::computed},
};

/// Entities that are brought up to date at a time: bounds the facts in memory.
const MAX_ENTITIES: usize = 1000;
/// With fewer exposures than this, a computation is over before another thread has begun with it.
const FEW_EXPOSURES: usize = 2000;

/// Brings everything up to date that the new facts and the correlations' reports touch. Answers what there is to publish
/// about incidents.
pub(super) async fn fold(
    tx: &mut PgConnection,
    rules: &mut Rules,
    cache: &mut ExposureCache,
    new: &[Fact<'_, RiskChange>],
    correlated: &Correlated,
) -> sqlx::Result<Vec<Outgoing>> {
    let mut touching: BTreeMap<EntityKey<'_>, Touch<'_>> = BTreeMap::new();
    for fact in new.iter().copied().chain(correlated.reported.iter().map(Reported::fact)) {
        if let Some((tenant, entity)) = touched(fact.change) {
            let touch = touching.entry(key(tenant, entity)).or_insert_with(|| Touch::none(tenant, entity));
            touch.add(&fact);
        }
    }
    for withdrawn in &correlated.withdrawn {
        let (tenant, entity) = (&withdrawn.tenant, &withdrawn.entity);
        let touch = touching.entry(key(tenant, entity)).or_insert_with(|| Touch::none(tenant, entity));
        touch.withdraw(withdrawn);
    }
    let entities: Vec<EntityKey<'_>> = touching.keys().copied().collect();
    let mut touches: Vec<Touch<'_>> = touching.into_values().collect();
    if entities.is_empty() {
        return Ok(Vec::new());
    }
    // All locks first, in their order; what is read afterwards is everything that others have committed.
    stored::lock(tx, &entities).await?;
    cache.begin();
    let mut outgoing = Vec::new();
    for (entities, touches) in entities.chunks(MAX_ENTITIES).zip(touches.chunks_mut(MAX_ENTITIES)) {
        outgoing.extend(bring_up_to_date(tx, rules, cache, entities, touches).await?);
    }
    Ok(outgoing)
}

/// Effect of new facts on an entity.
pub(super) struct Touch<'a> {
    tenant: &'a TenantId,
    entity: &'a Entity,
    /// The least partition that they came from; records published about the entity are numbered there.
    partition: TopicPartition,
    /// The first hour that they change; a decision may change all.
    changed_hour: i64,
    /// Exposures that new signals add.
    pub(super) added: Vec<Exposure>,
    /// Rules and hours of which a signal was withdrawn.
    pub(super) withdrawn: BTreeSet<(String, i64)>,
}

impl<'a> Touch<'a> {
    fn none(tenant: &'a TenantId, entity: &'a Entity) -> Self {
        let last = TopicPartition { topic: Topic::DeadLetter, partition: i32::MAX };
        let changed_hour = i64::MAX;
        Self { tenant, entity, partition: last, changed_hour, added: Vec::new(), withdrawn: BTreeSet::new() }
    }

    fn add(&mut self, fact: &Fact<'_, RiskChange>) {
        let hour = match fact.change {
            RiskChange::Signal(signal) => {
                self.added.push(Exposure::of(signal));
                hour_of(signal.occurred_at)
            }
            _ => i64::MIN,
        };
        self.partition = self.partition.min(fact.partition);
        self.changed_hour = self.changed_hour.min(hour);
    }

    fn withdraw(&mut self, withdrawn: &Withdrawn) {
        self.partition = self.partition.min(withdrawn.partition);
        self.changed_hour = self.changed_hour.min(withdrawn.hour);
        self.withdrawn.insert((withdrawn.rule_id.clone(), withdrawn.hour));
    }

    /// The first hour whose exposures are needed.
    fn first_needed(&self, affected_hour: i64, stored: &Stored) -> i64 {
        // Without its newest exposure an entity is looked at from an earlier one.
        if self.withdrawn.is_empty() { first_needed(affected_hour, stored.newest_hour) } else { i64::MIN }
    }

    fn first_affected_hour(&self, stored: &[Incident]) -> i64 {
        if self.changed_hour == i64::MIN { i64::MIN } else { first_affected_hour(stored, self.changed_hour) }
    }
}

/// The first hour whose exposures are needed: for incidents from an hour on, and for the score of an entity whose newest
/// exposure was at an hour (0: none counted).
fn first_needed(affected_hour: i64, newest_hour: i64) -> i64 {
    let for_incidents = affected_hour.saturating_sub(EVIDENCE_HOURS);
    let for_score = if newest_hour == 0 { i64::MIN } else { newest_hour - MAX_AGE_HOURS };
    for_incidents.min(for_score)
}

fn key<'a>(tenant: &'a TenantId, entity: &'a Entity) -> EntityKey<'a> {
    EntityKey { tenant: tenant.as_str(), kind: entity.kind.name(), id: entity.id() }
}

fn touched(change: &RiskChange) -> Option<(&TenantId, &Entity)> {
    match change {
        RiskChange::Signal(signal) => Some((&signal.tenant, &signal.entity)),
        RiskChange::Weight(weight) => Some((&weight.tenant, &weight.entity)),
        RiskChange::Triage(triage) => Some((&triage.tenant, &triage.entity)),
        RiskChange::Part(_) | RiskChange::Sightings(_) | RiskChange::Unusable(_) => None,
    }
}

/// Reads what is known of entities whose rows are locked, and writes what follows from it.
async fn bring_up_to_date(
    tx: &mut PgConnection,
    rules: &mut Rules,
    cache: &mut ExposureCache,
    entities: &[EntityKey<'_>],
    touches: &mut [Touch<'_>],
) -> sqlx::Result<Vec<Outgoing>> {
    let stored = stored::load(tx, rules, entities).await?;
    let (mut affected, mut from_hours) = (Vec::with_capacity(stored.len()), Vec::with_capacity(stored.len()));
    let (mut wanted, mut kept) = (Vec::with_capacity(stored.len()), Vec::with_capacity(stored.len()));
    for ((entity, touch), stored) in entities.iter().zip(touches.iter()).zip(&stored) {
        let affected_hour = touch.first_affected_hour(&stored.incidents);
        let from_hour = touch.first_needed(affected_hour, stored);
        let known = cache.take(*entity, stored.row, from_hour);
        wanted.push(Wanted {
            entity: *entity,
            from_hour: known.is_none().then_some(from_hour),
            weights: stored.weights,
            triages: stored.triages,
        });
        affected.push(affected_hour);
        from_hours.push(known.as_ref().map_or(from_hour, |known| known.from_hour));
        kept.push(known);
    }
    let mut facts = entity_facts::load(tx, rules, &wanted, None).await?;
    for (facts, known) in facts.iter_mut().zip(kept) {
        if let Some(known) = known {
            facts.exposures = known.exposures;
        }
    }
    exposures::bring_up_to_date(tx, rules, entities, (touches, &mut facts)).await?;

    let written_by: Vec<u64> = stored.iter().map(|stored| stored.row.seen_by).collect();
    let known = touches.iter().zip(facts).zip(stored.into_iter().zip(affected));
    let known = known.map(|((touch, facts), (stored, from_hour))| Known {
        tenant: touch.tenant.clone(),
        entity: touch.entity.clone(),
        facts,
        stored: stored.incidents,
        from_hour,
    });
    let (known, outcomes) = outcomes(known.collect()).await?;
    stored::store(tx, rules, entities, &outcomes).await?;
    for (place, (known, outcome)) in known.into_iter().zip(&outcomes).enumerate() {
        // Otherwise the entity's row is removed, which would tell whether another one has written.
        if !outcome.assessment.contributions.is_empty() {
            let kept = KeptExposures { from_hour: from_hours[place], exposures: known.facts.exposures };
            cache.learn(entities[place], written_by[place], outcome.assessment.newest_hour, kept);
        }
    }
    let findings = touches.iter().zip(outcomes).flat_map(|(touch, outcome)| {
        let outgoing =
            |finding| findings::outgoing(touch.partition, touch.tenant, touch.entity.id(), finding);
        outcome.findings.into_iter().map(outgoing).collect::<Vec<_>>()
    });
    Ok(findings.collect())
}

/// Computes the outcome for each entity; on another thread if there are many exposures.
async fn outcomes(known: Vec<Known>) -> sqlx::Result<(Vec<Known>, Vec<Outcome>)> {
    let exposures: usize = known.iter().map(|known| known.facts.exposures.len()).sum();
    let outcomes = move || {
        let outcomes = known.iter().map(Known::outcome).collect();
        (known, outcomes)
    };
    if exposures < FEW_EXPOSURES { Ok(outcomes()) } else { Ok(computed(outcomes).await?) }
}
