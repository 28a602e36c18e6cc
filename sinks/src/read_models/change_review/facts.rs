//! The facts of changes as they are stored, and how they are read back.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use projections::change_review::{Assessed, MAX_OF_KIND, StoredFact};
use schemas::changes::change_review::{ChangeFactKind, PlanReading, Route};
use sqlx::{PgConnection, Row, postgres::PgRow};

/// Facts of changes, by their place in the request.
pub(super) async fn facts_of(
    connection: &mut PgConnection,
    tenants: &[&str],
    change_ids: &[&str],
) -> sqlx::Result<BTreeMap<usize, Vec<StoredFact>>> {
    let kinds: Vec<&str> = ChangeFactKind::ALL.iter().map(|kind| kind.name()).collect();
    let mut rows = sqlx::query(
        "SELECT c.nth, f.event_id, f.kind, f.occurred_at, f.actor, f.actor_name, f.second_party, f.resource,
                f.project, f.environment, f.decision, f.decided_proposal, f.reason, f.expires_at, f.outcome, f.outcome_code,
                f.route, f.score, f.reading, f.route IS NOT NULL AND EXISTS (
                SELECT FROM change_budget AS b
                 WHERE b.tenant_id = f.tenant_id AND b.event_id = f.event_id AND b.hard) AS over_budget
           FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS c(tenant_id, change_id, nth)
          CROSS JOIN unnest($3::text[]) AS k(kind)
          CROSS JOIN LATERAL (
                SELECT * FROM change_fact AS f
                 WHERE f.tenant_id = c.tenant_id AND f.change_id = c.change_id AND f.kind = k.kind
                 ORDER BY f.occurred_at, f.event_id LIMIT $4) AS f",
    )
    .bind(tenants)
    .bind(change_ids)
    .bind(kinds)
    .bind(MAX_OF_KIND)
    .fetch(connection);
    let mut facts: BTreeMap<usize, Vec<StoredFact>> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let nth: i64 = row.try_get(0)?;
        let index = usize::try_from(nth - 1).map_err(|_| unreadable("a place before the first"))?;
        facts.entry(index).or_default().push(fact_of(&row)?);
    }
    Ok(facts)
}

fn fact_of(row: &PgRow) -> sqlx::Result<StoredFact> {
    let kind: &str = row.try_get("kind")?;
    let kind = ChangeFactKind::from_name(kind).ok_or_else(|| unreadable("an unknown kind of fact"))?;
    Ok(StoredFact {
        event_id: row.try_get("event_id")?,
        kind,
        occurred_at: row.try_get("occurred_at")?,
        actor: row.try_get("actor")?,
        actor_name: row.try_get("actor_name")?,
        second_party: row.try_get("second_party")?,
        resource: row.try_get("resource")?,
        project: row.try_get("project")?,
        environment: row.try_get("environment")?,
        decision: row.try_get("decision")?,
        decided_proposal: row.try_get("decided_proposal")?,
        reason: row.try_get("reason")?,
        expires_at: row.try_get("expires_at")?,
        failed: row.try_get::<&str, _>("outcome")? == "failure",
        outcome_code: row.try_get("outcome_code")?,
        assessed: assessed_of(row)?,
    })
}

fn assessed_of(row: &PgRow) -> sqlx::Result<Option<Assessed>> {
    let route: Option<&str> = row.try_get("route")?;
    let score: Option<i16> = row.try_get("score")?;
    let reading: Option<&str> = row.try_get("reading")?;
    let (Some(route), Some(score), Some(reading)) = (route, score, reading) else { return Ok(None) };
    let route = Route::from_name(route).ok_or_else(|| unreadable("an unknown route"))?;
    let reading = PlanReading::from_name(reading).ok_or_else(|| unreadable("an unknown reading"))?;
    Ok(Some(Assessed::new(route, score, reading).denied_by_budget(row.try_get("over_budget")?)))
}

fn unreadable(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}
