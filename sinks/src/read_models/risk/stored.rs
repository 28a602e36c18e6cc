//! Stored risk of entities before a batch changes it, and the writes that change it: `entity_risk`,
//! `risk_exposure`, `incident`.

use std::sync::Arc;

use projections::risk::{
    Assessment, Exposure, FiredRule, Incident, IncidentRule, Outcome, Status, top_rules,
};
use schemas::changes::risk::{SignalLevel, SignalRule};
use sqlx::{FromRow, PgConnection, Row, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{
    entity_facts::EntityKey,
    exposure_cache::RowVersion,
    rules::{RuleKeys, Rules},
    table::{EntityHour, EntityRiskRow, ExposureRow, IncidentRow, StoredIncident},
};
use crate::read_models::stored_content::EventKey;

impl StoredIncident {
    /// The incident, whose rules are these.
    pub(super) fn with(self, rules: Vec<FiredRule>) -> Incident {
        Incident {
            id: self.id,
            opened_hour: self.opened_hour,
            last_hour: self.last_hour,
            since_hour: self.since_hour,
            peak_micronats: self.peak_micronats,
            signals: self.signals,
            first_at: self.first_at,
            last_at: self.last_at,
            cause: self.cause,
            status: Status {
                name: self.status,
                reopened: self.reopened,
                decided_at: self.status_at,
                reason: self.reason,
                decided_by: self.decided_by,
            },
            level: self.level,
            tactics: self.tactics,
            techniques: self.techniques,
            rules,
        }
    }

    /// Its rules by key, each with its number of signals.
    fn keyed(&self) -> impl Iterator<Item = (i64, i64)> {
        let keys = self.rule_keys.iter().flatten().copied();
        keys.zip(self.rule_signals.iter().flatten().copied())
    }
}

/// A rule as it is answered. Of the rule itself, what is not answered is left empty.
pub(super) fn answered(answered: &IncidentRule) -> FiredRule {
    let level = SignalLevel::ALL.into_iter().find(|known| known.name() == answered.level);
    let rule = SignalRule {
        id: answered.id.clone(),
        version: String::new(),
        title: answered.title.clone(),
        author: None,
        file: String::new(),
        level: level.unwrap_or_default(),
        tactics: Vec::new(),
        techniques: Vec::new(),
    };
    FiredRule { rule: Arc::new(rule), signals: answered.signals }
}

/// Stored risk of an entity before a batch changes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// Last writer of its row.
    pub(super) row: RowVersion,
    /// The hour of its newest exposure; 0 where none counted.
    pub(super) newest_hour: i64,
    /// Whether anything was decided about its weight.
    pub(super) weights: bool,
    /// Whether anything was decided about its incidents.
    pub(super) triages: bool,
    /// Oldest first.
    pub(super) incidents: Vec<Incident>,
}

/// Makes the entities' rows where they are missing, and locks all of them to the end of the transaction: in order, so
/// that two writers never wait for each other.
pub(super) async fn lock(tx: &mut PgConnection, entities: &[EntityKey<'_>]) -> sqlx::Result<()> {
    // A conflict locks the row even where nothing is updated.
    sqlx::query(
        "INSERT INTO entity_risk AS e (tenant_id, entity_kind, entity)
         SELECT tenant_id, entity_kind, entity FROM unnest($1::risk_entity[])
         ON CONFLICT (tenant_id, entity_kind, entity) DO UPDATE SET newest_hour = e.newest_hour WHERE false",
    )
    .bind(asked(entities))
    .execute(tx)
    .await
    .map(drop)
}

fn asked<'a>(entities: &[EntityKey<'a>]) -> Vec<EntityHour<'a>> {
    entities.iter().map(|entity| entity.asked(0)).collect()
}

/// Reads the stored risk of each of these entities, whose rows are locked.
pub(super) async fn load(
    tx: &mut PgConnection,
    known: &mut Rules,
    entities: &[EntityKey<'_>],
) -> sqlx::Result<Vec<Stored>> {
    let rows = sqlx::query(
        "SELECT a.nth, e.newest_hour, e.xmin::text::bigint AS row_xmin,
                pg_current_xact_id()::text::bigint AS seen_by,
                EXISTS (SELECT FROM risk_weight AS w WHERE w.tenant_id = a.tenant_id AND w.entity_kind = a.entity_kind
                                                       AND w.entity = a.entity) AS weights,
                EXISTS (SELECT FROM risk_triage AS t WHERE t.tenant_id = a.tenant_id AND t.entity_kind = a.entity_kind
                                                       AND t.entity = a.entity) AS triages,
                i.id IS NOT NULL AS is_incident, i.*
           FROM unnest($1::risk_entity[]) WITH ORDINALITY AS a(tenant_id, entity_kind, entity, from_hour, nth)
           JOIN entity_risk AS e USING (tenant_id, entity_kind, entity)
           LEFT JOIN incident AS i USING (tenant_id, entity_kind, entity)
          ORDER BY a.nth, i.opened_hour, i.id",
    )
    .bind(asked(entities))
    .fetch_all(&mut *tx)
    .await?;
    let mut stored: Vec<Option<Stored>> = vec![None; entities.len()];
    let mut incidents: Vec<(usize, StoredIncident, Vec<IncidentRule>)> = Vec::new();
    for row in rows {
        let nth: i64 = row.try_get("nth")?;
        let nth = usize::try_from(nth - 1).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let stored = stored.get_mut(nth).ok_or(sqlx::Error::RowNotFound)?.get_or_insert_default();
        stored.row =
            RowVersion { xmin: transaction(&row, "row_xmin")?, seen_by: transaction(&row, "seen_by")? };
        stored.newest_hour = row.try_get("newest_hour")?;
        stored.weights = row.try_get("weights")?;
        stored.triages = row.try_get("triages")?;
        if row.try_get("is_incident")? {
            let incident = StoredIncident::from_row(&row)?;
            let unkeyed = match incident.rule_keys {
                Some(_) => Vec::new(),
                None => row.try_get::<Json<Vec<IncidentRule>>, _>("rules")?.0,
            };
            incidents.push((nth, incident, unkeyed));
        }
    }
    let keys = incidents
        .iter()
        .flat_map(|(nth, incident, _)| incident.keyed().map(|(key, _)| (entities[*nth].tenant, key)));
    known.read(tx, keys.collect()).await?;
    for (nth, incident, unkeyed) in incidents {
        let mut fired: Vec<FiredRule> = unkeyed.iter().map(answered).collect();
        for (key, signals) in incident.keyed() {
            fired.push(FiredRule { rule: known.rule(entities[nth].tenant, key)?, signals });
        }
        if let Some(Some(stored)) = stored.get_mut(nth) {
            stored.incidents.push(incident.with(fired));
        }
    }
    // Each was made to be locked: fewer would mean that the rows of one entity are taken for another's.
    stored.into_iter().map(|stored| stored.ok_or(sqlx::Error::RowNotFound)).collect()
}

fn transaction(row: &PgRow, column: &str) -> sqlx::Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Writes what follows for each entity. Entities that anything counts for have their row of `entity_risk` written,
/// whether it changes or not.
pub(super) async fn store(
    tx: &mut PgConnection,
    rules: &Rules,
    entities: &[EntityKey<'_>],
    outcomes: &[Outcome],
) -> sqlx::Result<()> {
    let mut keys = RuleKeys::default();
    let (mut nothing, mut risks) = (Vec::new(), Vec::new());
    let (mut removed, mut incidents, mut rules_named) = (Vec::new(), Vec::new(), Vec::new());
    for (entity, outcome) in entities.iter().zip(outcomes) {
        if outcome.assessment.contributions.is_empty() {
            nothing.push(*entity);
        } else {
            risks.push(entity_risk_row(*entity, &outcome.assessment));
        }
        removed.extend(outcome.removed.iter().map(|incident| (*entity, incident.id)));
        incidents.extend(outcome.changed.iter().map(|incident| incident_row(*entity, incident, &mut keys)));
        let of_incidents = outcome.changed.iter().flat_map(|incident| &incident.rules);
        rules_named.extend(of_incidents.map(|fired| (entity.tenant, &fired.rule)));
    }
    rules.ensure(tx, rules_named).await?;
    EntityRiskRow::upsert(tx, &risks).await?;
    remove(tx, &nothing).await?;
    remove_incidents(tx, &removed).await?;
    IncidentRow::upsert(tx, &incidents).await
}

/// Removes the rows of entities that nothing counts for: they were made to be locked.
async fn remove(tx: &mut PgConnection, entities: &[EntityKey<'_>]) -> sqlx::Result<()> {
    if entities.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM entity_risk AS e USING unnest($1::risk_entity[]) AS a
          WHERE e.tenant_id = a.tenant_id AND e.entity_kind = a.entity_kind AND e.entity = a.entity",
    )
    .bind(asked(entities))
    .execute(tx)
    .await
    .map(drop)
}

/// Removes incidents that, by what is known now, never were.
async fn remove_incidents(tx: &mut PgConnection, removed: &[(EntityKey<'_>, Uuid)]) -> sqlx::Result<()> {
    if removed.is_empty() {
        return Ok(());
    }
    let ids = removed.iter().map(|(entity, id)| EventKey { tenant_id: entity.tenant, event_id: *id });
    sqlx::query(
        "DELETE FROM incident AS i USING unnest($1::event_key[]) AS a
          WHERE i.tenant_id = a.tenant_id AND i.id = a.event_id",
    )
    .bind(ids.collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}

fn entity_risk_row<'a>(entity: EntityKey<'a>, assessment: &Assessment) -> EntityRiskRow<'a> {
    EntityRiskRow {
        tenant_id: entity.tenant,
        entity_kind: entity.kind,
        entity: entity.id,
        sort_key: assessment.sort_key(),
        newest_hour: assessment.newest_hour,
        hazard_micronats: assessment.hazard_micronats(),
        signals: assessment.signals(),
        rules: i32::try_from(assessment.contributions.len()).unwrap_or(i32::MAX),
        factor_thousandths: i32::try_from(assessment.factor.thousandths).unwrap_or(i32::MAX),
        factor_until: assessment.factor.until,
        first_at: assessment.contributions.iter().map(|rule| rule.first_at).min(),
        last_at: assessment.contributions.iter().map(|rule| rule.last_at).max(),
        top_rules: Json(top_rules(assessment)),
    }
}

fn incident_row<'a>(entity: EntityKey<'a>, incident: &'a Incident, keys: &mut RuleKeys) -> IncidentRow<'a> {
    IncidentRow {
        tenant_id: entity.tenant,
        entity_kind: entity.kind,
        entity: entity.id,
        id: incident.id,
        opened_hour: incident.opened_hour,
        last_hour: incident.last_hour,
        since_hour: incident.since_hour,
        peak_micronats: incident.peak_micronats,
        signals: incident.signals,
        first_at: incident.first_at,
        last_at: incident.last_at,
        status_at: incident.status.decided_at,
        cause: &incident.cause,
        status: &incident.status.name,
        reopened: incident.status.reopened,
        reason: incident.status.reason.as_deref(),
        decided_by: incident.status.decided_by.as_deref(),
        level: &incident.level,
        tactics: &incident.tactics,
        techniques: &incident.techniques,
        rule_keys: Some(incident.rules.iter().map(|fired| keys.of(&fired.rule, None)).collect()),
        rule_signals: Some(incident.rules.iter().map(|fired| fired.signals).collect()),
    }
}

/// The row of an exposure.
pub(super) fn exposure_row<'a>(
    entity: EntityKey<'a>,
    exposure: &'a Exposure,
    rule_key: i64,
) -> ExposureRow<'a> {
    ExposureRow {
        tenant_id: entity.tenant,
        entity_kind: entity.kind,
        entity: entity.id,
        rule_id: &exposure.rule.id,
        hour: exposure.hour,
        rule_key,
        micronats: exposure.micronats(),
        signals: exposure.signals,
        first_at: exposure.first_at,
        last_at: exposure.last_at,
        last_event_id: exposure.last_event_id,
        dedupe_keys: exposure.hazards.iter().map(|hazard| hazard.key.as_str()).collect(),
        key_micronats: exposure.hazards.iter().map(|hazard| hazard.micronats).collect(),
    }
}
