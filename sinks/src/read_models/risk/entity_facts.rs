//! What is known of entities: their exposures and what was decided about them, read together.

use std::collections::BTreeMap;

use schemas::Timestamp;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::assessment::{Dismissal, Exposure, View, Weight};

/// Tenant, kind and id.
pub(crate) type EntityKey<'a> = (&'a str, &'a str, &'a str);

/// What is known of one entity.
#[derive(Debug, Clone, Default)]
pub(crate) struct EntityFacts {
    /// Sorted by rule, then by dedupe key and hour.
    pub(crate) exposures: Vec<Exposure>,
    pub(crate) weights: Vec<Weight>,
    pub(crate) triages: Vec<Triage>,
}

/// A decision about an incident.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct Triage {
    pub(crate) incident_id: Uuid,
    pub(crate) decided_at: Timestamp,
    pub(crate) event_id: Uuid,
    pub(crate) decision: String,
    pub(crate) rules: Vec<String>,
    pub(crate) reason: Option<String>,
    pub(crate) actor: String,
}

/// What a triage has to be for its rules' hazard not to count.
pub(crate) const FALSE_POSITIVE: &str = "false_positive";

impl EntityFacts {
    /// The rules that were wrong, by the latest decision about each incident: to open it again brings them back.
    pub(crate) fn dismissals(&self, view: View) -> Vec<Dismissal> {
        let mut latest: BTreeMap<Uuid, &Triage> = BTreeMap::new();
        for triage in self.triages.iter().filter(|triage| view.knows(triage.decided_at)) {
            let newest = latest.entry(triage.incident_id).or_insert(triage);
            if (newest.decided_at, newest.event_id) < (triage.decided_at, triage.event_id) {
                *newest = triage;
            }
        }
        let wrong = latest.into_values().filter(|triage| triage.decision == FALSE_POSITIVE);
        let of_rule = |triage: &Triage, rule: &String| Dismissal {
            rule_id: rule.clone(),
            decided_at: triage.decided_at,
        };
        wrong.flat_map(|triage| triage.rules.iter().map(move |rule| of_rule(triage, rule))).collect()
    }
}

/// What is known of these entities, in their order: all decisions, and the exposures from an hour of each on.
pub(crate) async fn load(
    connection: &mut PgConnection,
    entities: &[EntityKey<'_>],
    from_hours: &[i64],
) -> sqlx::Result<Vec<EntityFacts>> {
    let keys = Keys::of(entities);
    let mut loaded = vec![EntityFacts::default(); entities.len()];
    for (nth, exposure) in exposures(connection, &keys, from_hours).await? {
        loaded[nth].exposures.push(exposure);
    }
    for (nth, weight) in weights(connection, &keys).await? {
        loaded[nth].weights.push(weight);
    }
    for (nth, triage) in triages(connection, &keys).await? {
        loaded[nth].triages.push(triage);
    }
    Ok(loaded)
}

/// Keys as columns.
pub(crate) struct Keys<'a> {
    pub(crate) tenants: Vec<&'a str>,
    pub(crate) kinds: Vec<&'a str>,
    pub(crate) ids: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    pub(crate) fn of(entities: &[EntityKey<'a>]) -> Self {
        Self {
            tenants: entities.iter().map(|(tenant, ..)| *tenant).collect(),
            kinds: entities.iter().map(|(_, kind, _)| *kind).collect(),
            ids: entities.iter().map(|(.., id)| *id).collect(),
        }
    }
}

#[derive(FromRow)]
struct ExposureRow {
    nth: i64,
    #[sqlx(flatten)]
    exposure: Exposure,
}

async fn exposures(
    connection: &mut PgConnection,
    keys: &Keys<'_>,
    from_hours: &[i64],
) -> sqlx::Result<Vec<(usize, Exposure)>> {
    let rows: Vec<ExposureRow> = sqlx::query_as(
        "SELECT a.nth, x.rule_id, x.rule_title, x.level, x.hour, x.micronats, x.signals, x.first_at, x.last_at,
                x.tactics, x.techniques
           FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
                  WITH ORDINALITY AS a(tenant_id, entity_kind, entity, from_hour, nth)
           JOIN risk_exposure AS x USING (tenant_id, entity_kind, entity)
          WHERE x.hour >= a.from_hour
          ORDER BY a.nth, x.rule_id COLLATE \"C\", x.dedupe_key COLLATE \"C\", x.hour",
    )
    .bind(&keys.tenants)
    .bind(&keys.kinds)
    .bind(&keys.ids)
    .bind(from_hours)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (place(row.nth), row.exposure)).collect())
}

#[derive(FromRow)]
struct WeightRow {
    nth: i64,
    #[sqlx(flatten)]
    weight: Weight,
}

async fn weights(connection: &mut PgConnection, keys: &Keys<'_>) -> sqlx::Result<Vec<(usize, Weight)>> {
    let rows: Vec<WeightRow> = sqlx::query_as(
        "SELECT a.nth, w.weight_source, w.decided_at, w.event_id, w.expires_at, w.factor_thousandths
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a(tenant_id, entity_kind, entity, nth)
           JOIN risk_weight AS w USING (tenant_id, entity_kind, entity)
          ORDER BY a.nth, w.decided_at, w.event_id",
    )
    .bind(&keys.tenants)
    .bind(&keys.kinds)
    .bind(&keys.ids)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (place(row.nth), row.weight)).collect())
}

#[derive(FromRow)]
struct TriageRow {
    nth: i64,
    #[sqlx(flatten)]
    triage: Triage,
}

async fn triages(connection: &mut PgConnection, keys: &Keys<'_>) -> sqlx::Result<Vec<(usize, Triage)>> {
    let rows: Vec<TriageRow> = sqlx::query_as(
        "SELECT a.nth, t.incident_id, t.decided_at, t.event_id, t.decision, t.rules, t.reason, t.actor
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a(tenant_id, entity_kind, entity, nth)
           JOIN risk_triage AS t USING (tenant_id, entity_kind, entity)
          ORDER BY a.nth, t.decided_at, t.event_id",
    )
    .bind(&keys.tenants)
    .bind(&keys.kinds)
    .bind(&keys.ids)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (place(row.nth), row.triage)).collect())
}

/// Postgres counts from 1.
fn place(nth: i64) -> usize {
    usize::try_from(nth - 1).expect("WITH ORDINALITY counts from 1")
}
