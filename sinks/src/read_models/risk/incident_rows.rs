//! The table `incident`: what stands in it, and how it is brought up to date.

use projections::risk::{Incident, IncidentRule, Status};
use schemas::Timestamp;
use sqlx::{FromRow, PgConnection, Row, types::Json};
use uuid::Uuid;

use super::entity_facts::{EntityKey, Keys};

/// The columns of an incident, in the order of [`IncidentRow`].
pub(super) const COLUMNS: &str = "i.id, i.opened_hour, i.last_hour, i.since_hour, i.peak_micronats, i.signals, \
    i.first_at, i.last_at, i.status_at, i.cause, i.status, i.reopened, i.reason, i.decided_by, i.level, i.tactics, \
    i.techniques, i.rules";

/// An incident as it is stored.
#[derive(Debug, Clone, FromRow)]
pub(super) struct IncidentRow {
    id: Uuid,
    opened_hour: i64,
    last_hour: i64,
    since_hour: i64,
    peak_micronats: i64,
    signals: i64,
    first_at: Timestamp,
    last_at: Timestamp,
    status_at: Option<Timestamp>,
    cause: String,
    status: String,
    reopened: bool,
    reason: Option<String>,
    decided_by: Option<String>,
    level: String,
    tactics: Vec<String>,
    techniques: Vec<String>,
    rules: Json<Vec<IncidentRule>>,
}

impl From<IncidentRow> for Incident {
    fn from(row: IncidentRow) -> Self {
        Self {
            id: row.id,
            opened_hour: row.opened_hour,
            last_hour: row.last_hour,
            since_hour: row.since_hour,
            peak_micronats: row.peak_micronats,
            signals: row.signals,
            first_at: row.first_at,
            last_at: row.last_at,
            cause: row.cause,
            status: Status {
                name: row.status,
                reopened: row.reopened,
                decided_at: row.status_at,
                reason: row.reason,
                decided_by: row.decided_by,
            },
            level: row.level,
            tactics: row.tactics,
            techniques: row.techniques,
            rules: row.rules.0,
        }
    }
}

/// What is stored about an entity's risk before a batch changes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// The hour of its newest exposure; 0 where none counted.
    pub(super) newest_hour: i64,
    /// Oldest first.
    pub(super) incidents: Vec<Incident>,
}

/// What is stored for each of these entities, whose rows are locked.
pub(super) async fn load(tx: &mut PgConnection, entities: &[EntityKey<'_>]) -> sqlx::Result<Vec<Stored>> {
    let keys = Keys::of(entities);
    let mut query = sqlx::QueryBuilder::new("SELECT a.nth, e.newest_hour, i.id IS NOT NULL AS is_incident, ");
    query.push(COLUMNS);
    query.push(" FROM unnest(").push_bind(&keys.tenants);
    query.push("::text[], ").push_bind(&keys.kinds);
    query.push("::text[], ").push_bind(&keys.ids);
    query.push("::text[]) WITH ORDINALITY AS a(tenant_id, entity_kind, entity, nth)");
    query.push(" JOIN entity_risk AS e USING (tenant_id, entity_kind, entity)");
    query.push(" LEFT JOIN incident AS i USING (tenant_id, entity_kind, entity)");
    query.push(" ORDER BY a.nth, i.opened_hour, i.id");
    let mut stored: Vec<Option<Stored>> = vec![None; entities.len()];
    for row in query.build().fetch_all(tx).await? {
        let nth: i64 = row.try_get("nth")?;
        let place = usize::try_from(nth - 1).ok().and_then(|place| stored.get_mut(place));
        let place = place.ok_or(sqlx::Error::RowNotFound)?;
        let stored = place.get_or_insert_default();
        stored.newest_hour = row.try_get("newest_hour")?;
        if row.try_get("is_incident")? {
            stored.incidents.push(IncidentRow::from_row(&row)?.into());
        }
    }
    // Each was made to be locked: fewer would mean that the rows of one entity are taken for another's.
    stored.into_iter().map(|stored| stored.ok_or(sqlx::Error::RowNotFound)).collect()
}

/// Removes incidents that, by what is known now, never were.
pub(super) async fn remove(tx: &mut PgConnection, gone: &[(EntityKey<'_>, Uuid)]) -> sqlx::Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM incident AS i USING unnest($1::text[], $2::uuid[]) AS a(tenant_id, id)
          WHERE i.tenant_id = a.tenant_id AND i.id = a.id",
    )
    .bind(gone.iter().map(|(entity, _)| entity.tenant).collect::<Vec<_>>())
    .bind(gone.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}

/// One column of incidents.
fn column<'a, C>(rows: &[(EntityKey<'a>, &'a Incident)], of: impl Fn(&'a Incident) -> C) -> Vec<C> {
    rows.iter().map(|(_, incident)| of(incident)).collect()
}

/// Writes incidents that are new or have changed.
pub(super) async fn store(tx: &mut PgConnection, changed: &[(EntityKey<'_>, &Incident)]) -> sqlx::Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let keys: Vec<EntityKey<'_>> = changed.iter().map(|(entity, _)| *entity).collect();
    let keys = Keys::of(&keys);
    sqlx::query(
        "INSERT INTO incident (tenant_id, entity_kind, entity, id, opened_hour, last_hour, since_hour, peak_micronats,
             signals, first_at, last_at, status_at, cause, status, reopened, reason, decided_by, level, tactics,
             techniques, rules)
         SELECT tenant_id, entity_kind, entity, id, opened_hour, last_hour, since_hour, peak, signals, first_at, last_at,
                status_at, cause, status, reopened, reason, decided_by, level, string_to_array(tactics, ','),
                string_to_array(techniques, ','), rules
           FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::bigint[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::text[],
                $14::text[], $15::bool[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::jsonb[])
             AS a(tenant_id, entity_kind, entity, id, opened_hour, last_hour, since_hour, peak, signals, first_at,
                  last_at, status_at, cause, status, reopened, reason, decided_by, level, tactics, techniques, rules)
         ON CONFLICT (tenant_id, id) DO UPDATE
            SET last_hour = excluded.last_hour, since_hour = excluded.since_hour,
                peak_micronats = excluded.peak_micronats, signals = excluded.signals, first_at = excluded.first_at,
                last_at = excluded.last_at, status_at = excluded.status_at, cause = excluded.cause,
                status = excluded.status, reopened = excluded.reopened, reason = excluded.reason,
                decided_by = excluded.decided_by, level = excluded.level, tactics = excluded.tactics,
                techniques = excluded.techniques, rules = excluded.rules",
    )
    .bind(&keys.tenants)
    .bind(&keys.kinds)
    .bind(&keys.ids)
    .bind(column(changed, |i| i.id))
    .bind(column(changed, |i| i.opened_hour))
    .bind(column(changed, |i| i.last_hour))
    .bind(column(changed, |i| i.since_hour))
    .bind(column(changed, |i| i.peak_micronats))
    .bind(column(changed, |i| i.signals))
    .bind(column(changed, |i| i.first_at))
    .bind(column(changed, |i| i.last_at))
    .bind(column(changed, |i| i.status.decided_at))
    .bind(column(changed, |i| i.cause.as_str()))
    .bind(column(changed, |i| i.status.name.as_str()))
    .bind(column(changed, |i| i.status.reopened))
    .bind(column(changed, |i| i.status.reason.as_deref()))
    .bind(column(changed, |i| i.status.decided_by.as_deref()))
    .bind(column(changed, |i| i.level.as_str()))
    .bind(column(changed, |i| i.tactics.join(",")))
    .bind(column(changed, |i| i.techniques.join(",")))
    .bind(column(changed, |i| Json(i.rules.clone())))
    .execute(tx)
    .await
    .map(drop)
}
