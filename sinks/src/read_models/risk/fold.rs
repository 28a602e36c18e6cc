//! What follows from new facts: exposures, the entities' risk, and incidents.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use projections::risk::{
    Assessment, Incident, Known, Outcome, assessment::MAX_AGE_HOURS, first_affected_hour, hour_of,
    incidents::EVIDENCE_HOURS, top_rules,
};
use schemas::{
    TenantId, Timestamp, Topic,
    changes::risk::{Entity, RiskChange, RiskSignal},
};
use sqlx::{PgConnection, types::Json};

use super::{
    entity_facts::{EntityKey, Keys, Wanted},
    findings,
    incident_rows::{self, Stored},
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

/// Brings everything up to date that the new facts touch. Answers what there is to publish about incidents.
pub(super) async fn fold(tx: &mut PgConnection, new: &[Fact<'_, RiskChange>]) -> sqlx::Result<Vec<Outgoing>> {
    let mut touching: BTreeMap<EntityKey<'_>, Touch<'_>> = BTreeMap::new();
    for fact in new {
        if let Some((tenant, entity)) = touched(fact.change) {
            let key = EntityKey { tenant: tenant.as_str(), kind: entity.kind.name(), id: entity.id() };
            touching.entry(key).or_insert(Touch::none(tenant, entity)).add(fact);
        }
    }
    let (entities, touches): (Vec<EntityKey<'_>>, Vec<Touch<'_>>) = touching.into_iter().unzip();
    if entities.is_empty() {
        return Ok(Vec::new());
    }
    // All locks first, in their order; what is read afterwards is everything that others have committed.
    lock(tx, &entities).await?;
    add_exposures(tx, new).await?;
    let mut outgoing = Vec::new();
    for (entities, touches) in entities.chunks(MAX_ENTITIES).zip(touches.chunks(MAX_ENTITIES)) {
        outgoing.extend(bring_up_to_date(tx, entities, touches).await?);
    }
    Ok(outgoing)
}

/// How new facts touch an entity.
#[derive(Clone, Copy)]
struct Touch<'a> {
    tenant: &'a TenantId,
    entity: &'a Entity,
    /// The least partition that they came from: what is published about the entity is numbered there.
    partition: TopicPartition,
    /// The first hour that they change; a decision may change all.
    changed_hour: i64,
}

impl<'a> Touch<'a> {
    fn none(tenant: &'a TenantId, entity: &'a Entity) -> Self {
        let last = TopicPartition { topic: Topic::DeadLetter, partition: i32::MAX };
        Self { tenant, entity, partition: last, changed_hour: i64::MAX }
    }

    fn add(&mut self, fact: &Fact<'_, RiskChange>) {
        let hour = match fact.change {
            RiskChange::Signal(signal) => hour_of(signal.occurred_at),
            _ => i64::MIN,
        };
        self.partition = self.partition.min(fact.partition);
        self.changed_hour = self.changed_hour.min(hour);
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

fn touched(change: &RiskChange) -> Option<(&TenantId, &Entity)> {
    match change {
        RiskChange::Signal(signal) => Some((&signal.tenant, &signal.entity)),
        RiskChange::Weight(weight) => Some((&weight.tenant, &weight.entity)),
        RiskChange::Triage(triage) => Some((&triage.tenant, &triage.entity)),
        RiskChange::Part(_) | RiskChange::Unusable(_) => None,
    }
}

/// Makes the entities' rows where they are missing, and locks all of them to the end of the transaction: in order, so
/// that two writers never wait for each other.
async fn lock(tx: &mut PgConnection, entities: &[EntityKey<'_>]) -> sqlx::Result<()> {
    let keys = Keys::of(entities);
    // A conflict locks the row even where nothing is updated.
    sqlx::query(
        "INSERT INTO entity_risk AS e (tenant_id, entity_kind, entity)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
         ON CONFLICT (tenant_id, entity_kind, entity) DO UPDATE SET newest_hour = e.newest_hour WHERE false",
    )
    .bind(&keys.tenants)
    .bind(&keys.kinds)
    .bind(&keys.ids)
    .execute(tx)
    .await
    .map(drop)
}

/// Reads what is known of entities whose rows are locked, and writes what follows from it.
async fn bring_up_to_date(
    tx: &mut PgConnection,
    entities: &[EntityKey<'_>],
    touches: &[Touch<'_>],
) -> sqlx::Result<Vec<Outgoing>> {
    let stored = incident_rows::load(tx, entities).await?;
    let first_affected =
        |(touch, stored): (&Touch<'_>, &Stored)| touch.first_affected_hour(&stored.incidents);
    let affected: Vec<i64> = touches.iter().zip(&stored).map(first_affected).collect();
    let needed = |(affected, stored): (&i64, &Stored)| first_needed(*affected, stored.newest_hour);
    let from_hours: Vec<i64> = affected.iter().zip(&stored).map(needed).collect();
    let facts = Wanted { entities, from_hours: &from_hours, until: None }.load(tx).await?;
    let known = touches.iter().zip(facts).zip(stored.into_iter().zip(affected));
    let known = known.map(|((touch, facts), (stored, from_hour))| Known {
        tenant: touch.tenant.clone(),
        entity: touch.entity.clone(),
        facts,
        stored: stored.incidents,
        from_hour,
    });
    let outcomes = outcomes(known.collect()).await?;

    store(tx, entities, &outcomes).await?;
    let each = || entities.iter().zip(&outcomes);
    let removed: Vec<_> = each().flat_map(|(key, o)| o.removed.iter().map(|one| (*key, one.id))).collect();
    incident_rows::remove(tx, &removed).await?;
    let changed: Vec<_> = each().flat_map(|(key, o)| o.changed.iter().map(|one| (*key, one))).collect();
    incident_rows::store(tx, &changed).await?;
    let findings = touches.iter().zip(outcomes).flat_map(|(touch, outcome)| {
        let outgoing =
            |finding| findings::outgoing(touch.partition, touch.tenant, touch.entity.id(), finding);
        outcome.findings.into_iter().map(outgoing).collect::<Vec<_>>()
    });
    Ok(findings.collect())
}

/// What follows for each entity; on another thread where that may take a while.
async fn outcomes(known: Vec<Known>) -> sqlx::Result<Vec<Outcome>> {
    let exposures: usize = known.iter().map(|known| known.facts.exposures.len()).sum();
    let outcomes = move || known.iter().map(Known::outcome).collect();
    if exposures < FEW_EXPOSURES { Ok(outcomes()) } else { Ok(computed(outcomes).await?) }
}

/// What new signals add to one row of `risk_exposure`.
struct Added<'a> {
    micronats: i64,
    signals: i64,
    first_at: Timestamp,
    newest: &'a RiskSignal,
    tactics: BTreeSet<&'a str>,
    techniques: BTreeSet<&'a str>,
}

impl<'a> Added<'a> {
    fn of(signal: &'a RiskSignal) -> Self {
        Self {
            micronats: signal.hazard_micronats,
            signals: 1,
            first_at: signal.occurred_at,
            newest: signal,
            tactics: signal.rule.tactics.iter().map(String::as_str).collect(),
            techniques: signal.rule.techniques.iter().map(String::as_str).collect(),
        }
    }

    fn add(&mut self, other: Self) {
        let age = |signal: &RiskSignal| (signal.occurred_at, *signal.event_id.as_uuid());
        self.micronats = self.micronats.max(other.micronats);
        self.signals += other.signals;
        self.first_at = self.first_at.min(other.first_at);
        if age(self.newest) < age(other.newest) {
            self.newest = other.newest;
        }
        self.tactics.extend(other.tactics);
        self.techniques.extend(other.techniques);
    }
}

type ExposureKey<'a> = (EntityKey<'a>, &'a str, &'a str, i64);

fn summed_up<'a>(new: &[Fact<'a, RiskChange>]) -> BTreeMap<ExposureKey<'a>, Added<'a>> {
    let mut added: BTreeMap<ExposureKey<'a>, Added<'a>> = BTreeMap::new();
    for fact in new {
        let RiskChange::Signal(signal) = fact.change else { continue };
        let entity = EntityKey {
            tenant: signal.tenant.as_str(),
            kind: signal.entity.kind.name(),
            id: signal.entity.id(),
        };
        let key = (entity, signal.rule.id.as_str(), signal.dedupe_key.as_str(), hour_of(signal.occurred_at));
        match added.entry(key) {
            Entry::Vacant(place) => {
                place.insert(Added::of(signal));
            }
            Entry::Occupied(mut place) => place.get_mut().add(Added::of(signal)),
        }
    }
    added
}

/// One column of what is added.
fn column<'m, 'a, C>(
    added: &'m BTreeMap<ExposureKey<'a>, Added<'a>>,
    of: impl Fn(&'m ExposureKey<'a>, &'m Added<'a>) -> C,
) -> Vec<C> {
    added.iter().map(|(key, added)| of(key, added)).collect()
}

/// Adds the new signals to the exposures. Every column's change commutes.
async fn add_exposures(tx: &mut PgConnection, new: &[Fact<'_, RiskChange>]) -> sqlx::Result<()> {
    let added = summed_up(new);
    if added.is_empty() {
        return Ok(());
    }
    let joined = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(",");
    sqlx::query(
        "INSERT INTO risk_exposure AS e (tenant_id, entity_kind, entity, rule_id, dedupe_key, hour, micronats, signals,
             first_at, last_at, last_event_id, rule_title, level, tactics, techniques)
         SELECT tenant_id, entity_kind, entity, rule_id, dedupe_key, hour, micronats, signals, first_at, last_at,
                last_event_id, rule_title, level, string_to_array(tactics, ','), string_to_array(techniques, ',')
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::uuid[], $12::text[], $13::text[], $14::text[],
                $15::text[])
             AS a(tenant_id, entity_kind, entity, rule_id, dedupe_key, hour, micronats, signals, first_at, last_at,
                  last_event_id, rule_title, level, tactics, techniques)
         ON CONFLICT (tenant_id, entity_kind, entity, rule_id, dedupe_key, hour) DO UPDATE
            SET micronats = greatest(e.micronats, excluded.micronats),
                signals = e.signals + excluded.signals,
                first_at = least(e.first_at, excluded.first_at),
                (last_at, last_event_id, rule_title, level) =
                  (SELECT n.* FROM (VALUES (e.last_at, e.last_event_id, e.rule_title, e.level),
                                           (excluded.last_at, excluded.last_event_id, excluded.rule_title, excluded.level))
                                   AS n(at, id, title, level) ORDER BY n.at DESC, n.id DESC LIMIT 1),
                tactics = ARRAY(SELECT DISTINCT t COLLATE \"C\" FROM unnest(e.tactics || excluded.tactics) AS t ORDER BY 1),
                techniques = ARRAY(SELECT DISTINCT t COLLATE \"C\"
                                     FROM unnest(e.techniques || excluded.techniques) AS t ORDER BY 1)",
    )
    .bind(column(&added, |key, _| key.0.tenant))
    .bind(column(&added, |key, _| key.0.kind))
    .bind(column(&added, |key, _| key.0.id))
    .bind(column(&added, |key, _| key.1))
    .bind(column(&added, |key, _| key.2))
    .bind(column(&added, |key, _| key.3))
    .bind(column(&added, |_, added| added.micronats))
    .bind(column(&added, |_, added| added.signals))
    .bind(column(&added, |_, added| added.first_at))
    .bind(column(&added, |_, added| added.newest.occurred_at))
    .bind(column(&added, |_, added| *added.newest.event_id.as_uuid()))
    .bind(column(&added, |_, added| added.newest.rule.title.as_str()))
    .bind(column(&added, |_, added| added.newest.rule.level.name()))
    .bind(column(&added, |_, added| joined(&added.tactics)))
    .bind(column(&added, |_, added| joined(&added.techniques)))
    .execute(tx)
    .await
    .map(drop)
}

/// Writes what the entities' risk is by all that is known of them.
async fn store(tx: &mut PgConnection, entities: &[EntityKey<'_>], outcomes: &[Outcome]) -> sqlx::Result<()> {
    let is_nothing = |assessment: &Assessment| assessment.contributions.is_empty();
    let each = entities.iter().zip(outcomes.iter().map(|outcome| &outcome.assessment));
    let (nothing, assessed): (Vec<_>, Vec<_>) = each.partition(|(_, assessment)| is_nothing(assessment));
    remove(tx, &nothing.into_iter().map(|(key, _)| *key).collect::<Vec<_>>()).await?;
    let (keys, assessed): (Vec<EntityKey<'_>>, Vec<&Assessment>) = assessed.into_iter().unzip();
    let keys = Keys::of(&keys);
    let first = |a: &Assessment| a.contributions.iter().map(|c| c.first_at).min();
    let last = |a: &Assessment| a.contributions.iter().map(|c| c.last_at).max();
    let rules = |a: &Assessment| i32::try_from(a.contributions.len()).unwrap_or(i32::MAX);
    let factor = |a: &Assessment| i32::try_from(a.factor.thousandths).unwrap_or(i32::MAX);
    sqlx::query(
        "UPDATE entity_risk AS e
            SET sort_key = a.sort_key, newest_hour = a.newest_hour, hazard_micronats = a.hazard, signals = a.signals,
                rules = a.rules, factor_thousandths = a.factor, factor_until = a.factor_until, first_at = a.first_at,
                last_at = a.last_at, top_rules = a.top_rules
           FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::int[], $9::int[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::jsonb[])
             AS a(tenant_id, entity_kind, entity, sort_key, newest_hour, hazard, signals, rules, factor, factor_until,
                  first_at, last_at, top_rules)
          WHERE e.tenant_id = a.tenant_id AND e.entity_kind = a.entity_kind AND e.entity = a.entity",
    )
    .bind(&keys.tenants)
    .bind(&keys.kinds)
    .bind(&keys.ids)
    .bind(assessed.iter().map(|a| a.sort_key()).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| a.newest_hour).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| a.hazard_micronats()).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| a.signals()).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| rules(a)).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| factor(a)).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| a.factor.until).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| first(a)).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| last(a)).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| Json(top_rules(a))).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}

/// Removes the rows of entities that nothing counts for: they were made to be locked.
async fn remove(tx: &mut PgConnection, entities: &[EntityKey<'_>]) -> sqlx::Result<()> {
    if entities.is_empty() {
        return Ok(());
    }
    let keys = Keys::of(entities);
    sqlx::query(
        "DELETE FROM entity_risk AS e USING unnest($1::text[], $2::text[], $3::text[]) AS a(tenant_id, entity_kind, entity)
          WHERE e.tenant_id = a.tenant_id AND e.entity_kind = a.entity_kind AND e.entity = a.entity",
    )
    .bind(&keys.tenants)
    .bind(&keys.kinds)
    .bind(&keys.ids)
    .execute(tx)
    .await
    .map(drop)
}
