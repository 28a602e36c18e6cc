//! What follows from new facts: exposures, and the entities' risk.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use schemas::{
    TenantId, Timestamp, Topic,
    changes::risk::{RiskChange, RiskSignal},
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};

use super::{
    assessment::{Assessment, MAX_AGE_HOURS, View, assess, hour_of},
    entity_facts::{self, EntityFacts, EntityKey, Keys},
    finding::{Activity, finding},
    incident_rows,
    incidents::{EVIDENCE_HOURS, Incident, first_affected_hour, incidents},
};
use crate::{batch::TopicPartition, outbox::Outgoing, read_models::Fact};

/// How many of its rules are kept with an entity.
const TOP_RULES: usize = 3;

/// A rule among those that put an entity at risk most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TopRule {
    /// The rule's id.
    pub id: String,
    /// The rule's title.
    pub title: String,
    /// The rule's level.
    pub level: String,
    /// Its part of the entity's hazard, 0 to 1.
    pub share: f64,
}

/// Brings everything up to date that the new facts touch. Answers what there is to tell about incidents.
pub(super) async fn fold(tx: &mut PgConnection, new: &[Fact<'_, RiskChange>]) -> sqlx::Result<Vec<Outgoing>> {
    let mut touching: BTreeMap<EntityKey<'_>, Touch> = BTreeMap::new();
    for fact in new {
        if let Some(entity) = touched(fact.change) {
            touching.entry(entity).or_insert(Touch::NONE).add(fact);
        }
    }
    let (entities, touches): (Vec<EntityKey<'_>>, Vec<Touch>) = touching.into_iter().unzip();
    if entities.is_empty() {
        return Ok(Vec::new());
    }
    let newest_hours = lock(tx, &entities).await?;
    add_exposures(tx, new).await?;
    let incidents = incident_rows::load(tx, &entities).await?;
    let affected: Vec<i64> =
        touches.iter().zip(&incidents).map(|(touch, stored)| touch.first_affected_hour(stored)).collect();
    let from_hours: Vec<i64> = affected
        .iter()
        .zip(&newest_hours)
        .map(|(affected, newest)| first_needed(*affected, *newest))
        .collect();
    // A statement of its own, so that it sees what others had written before they let the lock go.
    let known = entity_facts::load(tx, &entities, &from_hours).await?;
    store(tx, &entities, &known).await?;
    let entities: Vec<Brought<'_>> = entities
        .iter()
        .zip(&touches)
        .zip(affected.iter().zip(&known).zip(&incidents))
        .map(|((key, touch), ((affected, facts), stored))| Brought {
            key: *key,
            from: touch.partition,
            affected: *affected,
            facts,
            stored,
        })
        .collect();
    bring_incidents_up_to_date(tx, &entities).await
}

/// How new facts touch an entity.
#[derive(Clone, Copy)]
struct Touch {
    /// The least partition that they came from: what is told of the entity is numbered there.
    partition: TopicPartition,
    /// The first hour that they change; a decision may change all.
    changed_hour: i64,
}

impl Touch {
    const NONE: Self = Self {
        partition: TopicPartition { topic: Topic::DeadLetter, partition: i32::MAX },
        changed_hour: i64::MAX,
    };

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

/// An entity whose incidents are brought up to date.
struct Brought<'a> {
    key: EntityKey<'a>,
    from: TopicPartition,
    /// Incidents that opened before stay as they are.
    affected: i64,
    facts: &'a EntityFacts,
    stored: &'a [Incident],
}

/// Compares the incidents that follow from what is known with those that are stored, writes what differs, and answers
/// what there is to tell.
async fn bring_incidents_up_to_date(
    tx: &mut PgConnection,
    entities: &[Brought<'_>],
) -> sqlx::Result<Vec<Outgoing>> {
    let mut after = Vec::with_capacity(entities.len());
    for one in entities {
        let (tenant, kind, entity) = one.key;
        let tenant = TenantId::new(tenant).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let incidents = incidents(&tenant, (kind, entity), one.facts, one.affected);
        after.push((tenant, incidents));
    }
    let (mut gone, mut changed, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for (one, (tenant, after)) in entities.iter().zip(&after) {
        let before = one.stored.iter().filter(|incident| incident.opened_hour >= one.affected);
        for old in before.filter(|old| after.iter().all(|new| new.id != old.id)) {
            gone.push((one.key, old.id));
            told.push(finding(one.from, tenant, one.key, (Activity::Close, old)));
        }
        for new in after {
            let old = one.stored.iter().find(|old| old.id == new.id);
            if old == Some(new) {
                continue;
            }
            changed.push((one.key, new));
            let activity = Activity::between(old, new);
            told.extend(activity.map(|activity| finding(one.from, tenant, one.key, (activity, new))));
        }
    }
    incident_rows::remove(tx, &gone).await?;
    incident_rows::store(tx, &changed).await?;
    Ok(told)
}

fn touched(change: &RiskChange) -> Option<EntityKey<'_>> {
    let (tenant, entity) = match change {
        RiskChange::Signal(signal) => (&signal.tenant, &signal.entity),
        RiskChange::Weight(weight) => (&weight.tenant, &weight.entity),
        RiskChange::Triage(triage) => (&triage.tenant, &triage.entity),
        RiskChange::Part(_) | RiskChange::Unusable(_) => return None,
    };
    Some((tenant.as_str(), entity.kind.name(), entity.id()))
}

/// Makes the entities' rows where they are missing, and locks all of them to the end of the transaction: in order, so
/// that two writers never wait for each other. Answers the hour of each one's newest exposure.
async fn lock(tx: &mut PgConnection, entities: &[EntityKey<'_>]) -> sqlx::Result<Vec<i64>> {
    let keys = Keys::of(entities);
    sqlx::query(
        "INSERT INTO entity_risk (tenant_id, entity_kind, entity)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING",
    )
    .bind(&keys.tenants)
    .bind(&keys.kinds)
    .bind(&keys.ids)
    .execute(&mut *tx)
    .await?;
    let newest_hours: Vec<i64> = sqlx::query_scalar(
        "SELECT e.newest_hour FROM unnest($1::text[], $2::text[], $3::text[])
                  WITH ORDINALITY AS a(tenant_id, entity_kind, entity, nth)
           JOIN entity_risk AS e USING (tenant_id, entity_kind, entity) ORDER BY a.nth FOR UPDATE OF e",
    )
    .bind(&keys.tenants)
    .bind(&keys.kinds)
    .bind(&keys.ids)
    .fetch_all(tx)
    .await?;
    // Each was made above: fewer would mean that the rows of one entity are taken for another's.
    if newest_hours.len() == entities.len() { Ok(newest_hours) } else { Err(sqlx::Error::RowNotFound) }
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
        let entity = (signal.tenant.as_str(), signal.entity.kind.name(), signal.entity.id());
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
    .bind(column(&added, |key, _| key.0.0))
    .bind(column(&added, |key, _| key.0.1))
    .bind(column(&added, |key, _| key.0.2))
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
async fn store(tx: &mut PgConnection, entities: &[EntityKey<'_>], known: &[EntityFacts]) -> sqlx::Result<()> {
    let keys = Keys::of(entities);
    let assessed: Vec<Assessment> = known.iter().map(assess_stored).collect();
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
    .bind(assessed.iter().map(Assessment::sort_key).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| a.newest_hour).collect::<Vec<_>>())
    .bind(assessed.iter().map(Assessment::hazard_micronats).collect::<Vec<_>>())
    .bind(assessed.iter().map(Assessment::signals).collect::<Vec<_>>())
    .bind(assessed.iter().map(rules).collect::<Vec<_>>())
    .bind(assessed.iter().map(factor).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| a.factor.until).collect::<Vec<_>>())
    .bind(assessed.iter().map(first).collect::<Vec<_>>())
    .bind(assessed.iter().map(last).collect::<Vec<_>>())
    .bind(assessed.iter().map(|a| Json(top_rules(a))).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}

/// The entity's risk by all that is known, as it is stored.
fn assess_stored(facts: &EntityFacts) -> Assessment {
    assess(&facts.exposures, &facts.weights, &facts.dismissals(View::STORED), View::STORED)
}

/// The rules that contribute most.
pub(super) fn top_rules(assessment: &Assessment) -> Vec<TopRule> {
    let top = assessment.contributions.iter().take(TOP_RULES).map(|contribution| TopRule {
        id: contribution.rule_id.clone(),
        title: contribution.rule_title.clone(),
        level: contribution.level.clone(),
        share: f64::from(assessment.share_thousandths(contribution)) / 1000.0,
    });
    top.collect()
}
