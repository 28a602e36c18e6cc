//! Saved searches of the audit log: folding their decisions, and reading them.

use std::collections::BTreeMap;

use schemas::{
    TenantId, Timestamp,
    changes::{RetentionDecision, retention::RetentionDecisionKind},
};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, PgPool, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use super::read::STAGE;
use crate::{
    postgres::row_type::row_type,
    read_models::snapshot::{Page, Positions, ReadError, Snapshot},
};

/// A decision about a saved search.
#[derive(Debug, sqlx::Encode)]
struct SearchRow<'a> {
    tenant_id: &'a str,
    name: &'a str,
    filter: String,
    decided_at: Timestamp,
    event_id: Uuid,
    actor: &'a str,
    reason: Option<&'a str>,
}

row_type!(SearchRow, "saved_search_row");

// Of a search's decisions of one kind the newest counts, whatever the order in which they come.
const SAVED: &str = "
    INSERT INTO saved_search AS s (tenant_id, name, filter, saved_at, saved_event, saved_by, saved_for)
    SELECT DISTINCT ON (1, 2) tenant_id, name, filter::jsonb, decided_at, event_id, actor, reason
      FROM unnest($1::saved_search_row[]) ORDER BY 1, 2, decided_at DESC, event_id DESC
    ON CONFLICT (tenant_id, name) DO UPDATE
       SET filter = excluded.filter, saved_at = excluded.saved_at, saved_event = excluded.saved_event,
           saved_by = excluded.saved_by, saved_for = excluded.saved_for
     WHERE s.saved_at IS NULL OR (s.saved_at, s.saved_event) < (excluded.saved_at, excluded.saved_event)";
const REMOVED: &str = "
    INSERT INTO saved_search AS s (tenant_id, name, removed_at, removed_event, removed_by)
    SELECT DISTINCT ON (1, 2) tenant_id, name, decided_at, event_id, actor
      FROM unnest($1::saved_search_row[]) ORDER BY 1, 2, decided_at DESC, event_id DESC
    ON CONFLICT (tenant_id, name) DO UPDATE
       SET removed_at = excluded.removed_at, removed_event = excluded.removed_event, removed_by = excluded.removed_by
     WHERE s.removed_at IS NULL OR (s.removed_at, s.removed_event) < (excluded.removed_at, excluded.removed_event)";

/// Applies the decisions about searches; others are left out.
pub(super) async fn fold(tx: &mut PgConnection, new: &[&RetentionDecision]) -> sqlx::Result<()> {
    let folds =
        [(RetentionDecisionKind::SearchSaved, SAVED), (RetentionDecisionKind::SearchRemoved, REMOVED)];
    for (kind, fold) in folds {
        let decided = new.iter().filter(|decision| decision.kind == kind);
        let rows = decided.map(|decision| row(decision)).collect::<Result<Vec<_>, _>>();
        let rows = rows.map_err(|error| sqlx::Error::Encode(error.into()))?;
        if !rows.is_empty() {
            sqlx::query(fold).bind(rows).execute(&mut *tx).await?;
        }
    }
    Ok(())
}

fn row(decision: &RetentionDecision) -> serde_json::Result<SearchRow<'_>> {
    Ok(SearchRow {
        tenant_id: decision.tenant.as_str(),
        name: &decision.subject,
        filter: serde_json::to_string(&decision.filter)?,
        decided_at: decision.decided_at,
        event_id: *decision.event_id.as_uuid(),
        actor: &decision.actor,
        reason: decision.reason.as_deref(),
    })
}

/// A saved search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, FromRow)]
pub struct SavedSearchItem {
    /// The search's name.
    pub name: String,
    /// The filter: parameters of `GET /api/v1/audit` with their values.
    #[sqlx(json)]
    pub filter: BTreeMap<String, String>,
    /// Time at which it was last saved.
    #[schema(value_type = String, format = DateTime)]
    pub saved_at: Timestamp,
    /// Actor who saved it.
    pub saved_by: String,
    /// Reason for saving it.
    pub saved_for: Option<String>,
}

/// Key of the last search of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchKey {
    name: String,
}

const SEARCHES: &str =
    "SELECT name, filter, saved_at, saved_by, saved_for FROM saved_search WHERE active AND tenant_id = ";

/// A page of the tenant's saved searches, by name.
pub async fn searches(
    pool: &PgPool,
    tenant: &TenantId,
    after: Option<SearchKey>,
    limit: u16,
) -> Result<Page<SavedSearchItem, SearchKey>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = QueryBuilder::new(SEARCHES);
    query.push_bind(tenant.as_str().to_owned());
    if let Some(SearchKey { name }) = after {
        query.push(" AND name > ").push_bind(name);
    }
    query.push(" ORDER BY name LIMIT ").push_bind(i64::from(limit) + 1);
    let key = |last: &SavedSearchItem| SearchKey { name: last.name.clone() };
    snapshot.page(&mut query, limit, |row| Ok(SavedSearchItem::from_row(row)?), key).await
}

/// The tenant's saved search of that name.
pub async fn search(
    pool: &PgPool,
    tenant: &TenantId,
    name: &str,
) -> Result<(Option<SavedSearchItem>, Positions), ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = QueryBuilder::new(SEARCHES);
    query.push_bind(tenant.as_str().to_owned()).push(" AND name = ").push_bind(name.to_owned());
    let row = query.build().fetch_optional(snapshot.connection()).await?;
    let item = row.map(|row| SavedSearchItem::from_row(&row)).transpose()?;
    Ok((item, snapshot.positions))
}
