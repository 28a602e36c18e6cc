//! `risk_exposure`: brought up to date from new signals, in memory, and written once a batch.

use std::collections::{BTreeMap, BTreeSet};

use projections::risk::{EntityFacts, Exposure, KeyHazard};
use schemas::Timestamp;
use sqlx::{PgConnection, Row};

use super::{
    entity_facts::EntityKey,
    fold::Touch,
    rules::{RuleKeys, Rules},
    stored::exposure_row,
    table::ExposureRow,
};

/// Rule and hour.
type RuleHour = (String, i64);

/// Adds what is new to the entities' exposures, and writes those that it changes.
pub(super) async fn bring_up_to_date(
    tx: &mut PgConnection,
    rules: &mut Rules,
    entities: &[EntityKey<'_>],
    (touches, facts): (&mut [Touch<'_>], &mut [EntityFacts]),
) -> sqlx::Result<()> {
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for ((entity, touch), facts) in entities.iter().zip(touches).zip(facts) {
        let withdrawn = std::mem::take(&mut touch.withdrawn);
        for (of_rule, added) in summed_up(std::mem::take(&mut touch.added)) {
            // What was withdrawn is summed up anew below, from all signals that are left or new.
            if withdrawn.contains(&of_rule) {
                continue;
            }
            let added_signals = added.signals;
            let exposure = facts.add(added).clone();
            // With no signals but those that are added, there was none before.
            let written = if exposure.signals == added_signals { &mut new } else { &mut changed };
            written.push((*entity, exposure));
        }
        for (rule_id, hour) in withdrawn {
            let left = summed_up_anew(tx, rules, *entity, (&rule_id, hour)).await?;
            match &left {
                Some(exposure) => changed.push((*entity, exposure.clone())),
                None => remove(tx, *entity, (&rule_id, hour)).await?,
            }
            facts.replace(&rule_id, hour, left);
        }
    }
    let rules_written = new.iter().chain(&changed).map(|(entity, exposure)| (entity.tenant, &exposure.rule));
    rules.ensure(tx, rules_written.collect()).await?;
    let mut keys = RuleKeys::default();
    ExposureRow::insert(tx, &rows(&mut new, &mut keys)).await?;
    ExposureRow::upsert(tx, &rows(&mut changed, &mut keys)).await
}

/// The rows of exposures, sorted by key.
fn rows<'a>(exposures: &'a mut [(EntityKey<'a>, Exposure)], keys: &mut RuleKeys) -> Vec<ExposureRow<'a>> {
    exposures
        .sort_by(|(a, one), (b, other)| (a, &one.rule.id, one.hour).cmp(&(b, &other.rule.id, other.hour)));
    let row = |(entity, exposure): &'a (EntityKey<'a>, Exposure)| {
        exposure_row(*entity, exposure, keys.of(&exposure.rule, None))
    };
    exposures.iter().map(row).collect()
}

/// New signals, summed up by rule and hour.
fn summed_up(added: Vec<Exposure>) -> BTreeMap<RuleHour, Exposure> {
    let mut sums: BTreeMap<RuleHour, Exposure> = BTreeMap::new();
    for exposure in added {
        let of_rule = (exposure.rule.id.clone(), exposure.hour);
        match sums.get_mut(&of_rule) {
            Some(sum) => sum.merge(exposure),
            None => drop(sums.insert(of_rule, exposure)),
        }
    }
    sums
}

/// An exposure from all signals of its rule and hour that are stored.
async fn summed_up_anew(
    tx: &mut PgConnection,
    rules: &mut Rules,
    entity: EntityKey<'_>,
    (rule_id, hour): (&str, i64),
) -> sqlx::Result<Option<Exposure>> {
    let start = Timestamp::from_timestamp(hour.saturating_mul(3600), 0);
    let rows = sqlx::query(
        "SELECT occurred_at, event_id, hazard_micronats, rule_key, dedupe_key FROM risk_signal
          WHERE tenant_id = $1 AND entity_kind = $2 AND entity = $3 AND rule_id = $4
            AND occurred_at >= $5 AND occurred_at < $5 + interval '1 hour'",
    )
    .bind(entity.tenant)
    .bind(entity.kind)
    .bind(entity.id)
    .bind(rule_id)
    .bind(start)
    .fetch_all(&mut *tx)
    .await?;
    let mut keys: BTreeSet<(&str, i64)> = BTreeSet::new();
    for row in &rows {
        keys.insert((entity.tenant, row.try_get("rule_key")?));
    }
    rules.read(tx, keys).await?;
    let mut sum: Option<Exposure> = None;
    for row in &rows {
        let occurred_at: Timestamp = row.try_get("occurred_at")?;
        let one = Exposure {
            rule: rules.rule(entity.tenant, row.try_get("rule_key")?)?,
            hour,
            hazards: vec![KeyHazard {
                key: row.try_get("dedupe_key")?,
                micronats: row.try_get("hazard_micronats")?,
            }],
            signals: 1,
            first_at: occurred_at,
            last_at: occurred_at,
            last_event_id: row.try_get("event_id")?,
        };
        match &mut sum {
            Some(sum) => sum.merge(one),
            None => sum = Some(one),
        }
    }
    Ok(sum)
}

async fn remove(
    tx: &mut PgConnection,
    entity: EntityKey<'_>,
    (rule_id, hour): (&str, i64),
) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM risk_exposure
          WHERE tenant_id = $1 AND entity_kind = $2 AND entity = $3 AND rule_id = $4 AND hour = $5",
    )
    .bind(entity.tenant)
    .bind(entity.kind)
    .bind(entity.id)
    .bind(rule_id)
    .bind(hour)
    .execute(tx)
    .await
    .map(drop)
}
