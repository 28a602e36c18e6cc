//! Signals that retention has removed, and that come again with events that are imported again.
//!
//! Their exposures stay, and each names its last event. Retention removes whole hours of signals: as long as the signal of
//! that event is stored, so are those of the exposure's other events. A signal that comes for an exposure without it is
//! neither stored nor counted. Signals of rules that had none in the hour are: the rule may be newer than the event.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{TimeDelta, Utc};
use projections::risk::hour_of;
use schemas::changes::RiskChange;
use sqlx::PgConnection;

use crate::read_models::{
    Fact,
    risk::entity_facts::{EntityKey, place},
};

/// The shortest time for which signals can be kept.
const SHORTEST_RETENTION: TimeDelta = TimeDelta::days(1);

/// Names an exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ExposureKey<'a> {
    entity: EntityKey<'a>,
    rule_id: &'a str,
    hour: i64,
}

/// Places of the signals, which are not stored, whose exposures have lost theirs to retention.
pub(in crate::read_models::risk) async fn retired(
    tx: &mut PgConnection,
    facts: &[Fact<'_, RiskChange>],
) -> sqlx::Result<BTreeSet<usize>> {
    let before = Utc::now() - SHORTEST_RETENTION;
    let mut old: BTreeMap<ExposureKey<'_>, Vec<usize>> = BTreeMap::new();
    for (place, fact) in facts.iter().enumerate() {
        let RiskChange::Signal(signal) = fact.change else { continue };
        if signal.occurred_at < before {
            let (tenant, entity) = (signal.tenant.as_str(), &signal.entity);
            let entity = EntityKey { tenant, kind: entity.kind.name(), id: entity.id() };
            let key = ExposureKey { entity, rule_id: &signal.rule.id, hour: hour_of(signal.occurred_at) };
            old.entry(key).or_default().push(place);
        }
    }
    if old.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (keys, signals): (Vec<ExposureKey<'_>>, Vec<Vec<usize>>) = old.into_iter().unzip();
    // Of signals only the event is asked for: a busy entity has any number of them.
    let rows = sqlx::query(
        "SELECT a.nth
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY
                  AS a(tenant_id, entity_kind, entity, rule_id, hour, nth)
           JOIN risk_exposure AS e USING (tenant_id, entity_kind, entity, rule_id, hour)
          WHERE (e.entity_kind, e.entity, e.rule_id) NOT IN (
                  SELECT s.entity_kind, s.entity, s.rule_id FROM risk_signal AS s
                   WHERE s.tenant_id = e.tenant_id AND s.event_id = e.last_event_id OFFSET 0)",
    )
    .bind(keys.iter().map(|key| key.entity.tenant).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.entity.kind).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.entity.id).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.rule_id).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.hour).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let all: Vec<usize> = (0..keys.len()).collect();
    let mut retired = BTreeSet::new();
    for row in &rows {
        retired.extend(&signals[place(row, &all)?]);
    }
    Ok(retired)
}
