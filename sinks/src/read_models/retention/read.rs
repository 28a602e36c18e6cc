//! Reading legal holds and erasures.

use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::read_models::snapshot::{Page, Positions, ReadError, Snapshot};

/// The stage that fills the tables; its positions say what an answer reflects.
pub use schemas::changes::retention::STAGE;

/// Filter on holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct HoldFilter {
    /// Those that are in force, or those that were released.
    #[param(inline)]
    pub state: Option<HoldState>,
}

/// Whether a hold is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// It keeps data.
    Active,
    /// It was released.
    Released,
}

/// A legal hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, FromRow)]
pub struct HoldItem {
    /// `person`, `project`, `resource` or `tenant`.
    pub scope: String,
    /// Id of the held person, project, resource or tenant.
    pub subject: String,
    /// The hold's name; empty where it has none.
    pub name: String,
    /// Whether it is in force.
    pub active: bool,
    /// Time at which it was last placed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub placed_at: Option<Timestamp>,
    /// Actor who placed it.
    pub placed_by: Option<String>,
    /// Reason for placing it.
    pub placed_for: Option<String>,
    /// Time at which it was last released.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub released_at: Option<Timestamp>,
    /// Actor who released it.
    pub released_by: Option<String>,
    /// Reason for releasing it.
    pub released_for: Option<String>,
}

/// Key of the last hold of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldKey {
    scope: String,
    subject: String,
    name: String,
}

/// A request to erase a subject, and its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, FromRow)]
pub struct ErasureItem {
    /// Subject whose data is erased.
    pub subject: String,
    /// `requested`, `waiting` for a legal hold, `erasing` or `done`.
    pub state: String,
    /// The hold that it waits for.
    pub waits_for: Option<String>,
    /// Error of the last attempt.
    pub problem: Option<String>,
    /// Time of the first request.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// Actor who requested it.
    pub requested_by: String,
    /// Reason of the request.
    pub reason: Option<String>,
    /// The event of the request.
    pub event_id: Uuid,
    /// Time at which it was done.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done_at: Option<Timestamp>,
    /// Audit entries that lost their personal part.
    pub entries: i64,
    /// Rows of other tables that were deleted or lost the name.
    pub other_rows: i64,
}

/// Key of the last erasure of a page: newest request first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureKey {
    requested_at: Timestamp,
    subject: String,
}

/// Preview or result of a subject's erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubjectItem {
    /// The subject.
    pub subject: String,
    /// Audit entries of the subject that have their personal part still.
    pub entries: i64,
    /// The hold that an erasure would wait for.
    pub held_by: Option<String>,
    /// The erasure that was requested, if one was.
    pub erasure: Option<ErasureItem>,
}

const HOLDS: &str =
    "SELECT scope, subject, name, active, placed_at, placed_by, placed_for, released_at, released_by,
    released_for FROM legal_hold WHERE tenant_id = ";
const ERASURES: &str =
    "SELECT e.subject, CASE WHEN p.done_at IS NOT NULL THEN 'done' WHEN p.began_at IS NOT NULL THEN 'erasing'
         WHEN p.waits_for IS NOT NULL THEN 'waiting' ELSE 'requested' END AS state,
       p.waits_for, p.problem, e.requested_at, e.requested_by, e.reason, e.event_id, p.done_at,
       coalesce(p.entries, 0) AS entries, coalesce(p.other_rows, 0) AS other_rows
  FROM erasure AS e LEFT JOIN erasure_progress AS p USING (tenant_id, subject) WHERE e.tenant_id = ";

/// A page of the tenant's holds, by scope, subject and name.
pub async fn holds(
    pool: &PgPool,
    tenant: &TenantId,
    filter: HoldFilter,
    (after, limit): (Option<HoldKey>, u16),
) -> Result<Page<HoldItem, HoldKey>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = QueryBuilder::new(HOLDS);
    query.push_bind(tenant.as_str().to_owned());
    if let Some(state) = filter.state {
        query.push(" AND active = ").push_bind(state == HoldState::Active);
    }
    if let Some(HoldKey { scope, subject, name }) = after {
        query.push(" AND (scope, subject, name) > (").push_bind(scope);
        query.push(", ").push_bind(subject).push(", ").push_bind(name).push(")");
    }
    query.push(" ORDER BY scope, subject, name LIMIT ").push_bind(i64::from(limit) + 1);
    let key = |last: &HoldItem| HoldKey {
        scope: last.scope.clone(),
        subject: last.subject.clone(),
        name: last.name.clone(),
    };
    snapshot.page(&mut query, limit, |row| Ok(HoldItem::from_row(row)?), key).await
}

/// A page of the tenant's erasures, newest request first.
pub async fn erasures(
    pool: &PgPool,
    tenant: &TenantId,
    (after, limit): (Option<ErasureKey>, u16),
) -> Result<Page<ErasureItem, ErasureKey>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = QueryBuilder::new(ERASURES);
    query.push_bind(tenant.as_str().to_owned());
    if let Some(ErasureKey { requested_at, subject }) = after {
        query.push(" AND (e.requested_at, e.subject) < (").push_bind(requested_at);
        query.push(", ").push_bind(subject).push(")");
    }
    query.push(" ORDER BY e.requested_at DESC, e.subject DESC LIMIT ").push_bind(i64::from(limit) + 1);
    let key =
        |last: &ErasureItem| ErasureKey { requested_at: last.requested_at, subject: last.subject.clone() };
    snapshot.page(&mut query, limit, |row| Ok(ErasureItem::from_row(row)?), key).await
}

/// Erasure state of a subject.
pub async fn subject(
    pool: &PgPool,
    tenant: &TenantId,
    subject: &str,
) -> Result<(Option<SubjectItem>, Positions), ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = QueryBuilder::new(ERASURES);
    query.push_bind(tenant.as_str().to_owned()).push(" AND e.subject = ").push_bind(subject.to_owned());
    let erasure = query.build().fetch_optional(snapshot.connection()).await?;
    let erasure = erasure.map(|row| ErasureItem::from_row(&row)).transpose()?;
    let entries =
        "SELECT count(*) FROM audit_entry WHERE tenant_id = $1 AND actor = $2 AND personal_digest IS NULL";
    let entries = sqlx::query_scalar(entries).bind(tenant.as_str()).bind(subject);
    let entries: i64 = entries.fetch_one(snapshot.connection()).await?;
    let held = sqlx::query_scalar("SELECT legal_hold_on($1, $2)").bind(tenant.as_str()).bind(subject);
    let held_by: Option<String> = held.fetch_one(snapshot.connection()).await?;
    let item = SubjectItem { subject: subject.to_owned(), entries, held_by, erasure };
    Ok((Some(item), snapshot.positions))
}
