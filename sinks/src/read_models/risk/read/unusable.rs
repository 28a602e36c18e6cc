//! Events that should have counted and could not.

use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use super::STAGE;
use crate::read_models::snapshot::{Page, ReadError, Snapshot};

/// An event that should have counted and could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, FromRow)]
pub struct UnusableItem {
    /// The event; `/api/v1/audit/{event_id}` holds it.
    pub event_id: Uuid,
    /// Time of the event.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Timestamp,
    /// The system that observed it.
    pub source: String,
    /// Format that could not be read: a native format, or the kind of a decision.
    pub format: String,
    /// Reason for which it could not be read.
    pub reason: String,
}

/// Key of the last event of a page: events are ordered by both fields, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusablePageKey {
    /// `occurred_at` of the last event.
    pub occurred_at: Timestamp,
    /// Its id.
    pub event_id: Uuid,
}

/// A page of the tenant's events that could not be used, newest first.
pub async fn page(
    pool: &PgPool,
    tenant: &TenantId,
    (after, limit): (Option<UnusablePageKey>, u16),
) -> Result<Page<UnusableItem, UnusablePageKey>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = QueryBuilder::new(
        "SELECT event_id, occurred_at, source, format, reason FROM risk_unusable WHERE tenant_id = ",
    );
    query.push_bind(tenant.as_str().to_owned());
    if let Some(after) = after {
        query.push(" AND (occurred_at, event_id) < (").push_bind(after.occurred_at);
        query.push(", ").push_bind(after.event_id).push(")");
    }
    query.push(" ORDER BY occurred_at DESC, event_id DESC LIMIT ").push_bind(i64::from(limit) + 1);
    let key =
        |last: &UnusableItem| UnusablePageKey { occurred_at: last.occurred_at, event_id: last.event_id };
    snapshot.page(&mut query, limit, |row| Ok(UnusableItem::from_row(row)?), key).await
}
