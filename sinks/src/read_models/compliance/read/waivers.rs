//! Waivers at an instant, by id.

use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgPool, QueryBuilder, Row, postgres::PgRow, types::Json};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{super::findings::word, STAGE};
use crate::read_models::{
    parameters::text,
    snapshot::{Page, ReadError, Snapshot},
};

/// Most events of a waiver that are named.
const MAX_EVENTS: i64 = 100;

/// Status of a waiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaiverStatus {
    /// It is requested, and not decided.
    Requested,
    /// It is in force.
    InForce,
    /// It has expired.
    Expired,
    /// It was refused.
    Rejected,
    /// It was revoked.
    Revoked,
    /// No step of it counts.
    Ineffective,
}

impl WaiverStatus {
    const ALL: [Self; 6] =
        [Self::Requested, Self::InForce, Self::Expired, Self::Rejected, Self::Revoked, Self::Ineffective];

    const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::InForce => "in_force",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
            Self::Ineffective => "ineffective",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Filter on waivers; an absent parameter matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct WaiversFilter {
    /// Status of the waiver.
    #[param(inline)]
    pub status: Option<WaiverStatus>,
    /// A policy that it names, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub policy: Option<String>,
    /// A resource that it names, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub resource: Option<String>,
}

/// Request for one page.
#[derive(Debug, Clone)]
pub struct WaiversRequest {
    /// Filter on the waivers.
    pub filter: WaiversFilter,
    /// The instant.
    pub as_of: Timestamp,
    /// Only waivers after this one.
    pub after: Option<String>,
    /// Most waivers on the page.
    pub limit: u16,
}

/// One waiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaiverItem {
    /// Its id.
    pub waiver: String,
    /// Status of the waiver.
    pub status: WaiverStatus,
    /// Person accountable for the risk.
    pub owner: Option<String>,
    /// Ids of policies.
    pub policies: Vec<String>,
    /// Ids of resources.
    pub resources: Vec<String>,
    /// Reason of the request.
    pub reason: Option<String>,
    /// Actor who requested it.
    pub requested_by: Option<String>,
    /// Time of the request.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub requested_at: Option<Timestamp>,
    /// Actor who granted it.
    pub granted_by: Option<String>,
    /// Time of the grant.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub granted_at: Option<Timestamp>,
    /// Actor who rejected it.
    pub rejected_by: Option<String>,
    /// Time of the rejection.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub rejected_at: Option<Timestamp>,
    /// Actor who revoked it.
    pub revoked_by: Option<String>,
    /// Time of the revocation.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// Expiry of the waiver.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Steps that count for nothing: `event_id`, `at`, `step`, `why`.
    #[schema(value_type = Vec<Object>)]
    pub ineffective: Vec<Value>,
    /// The events of its steps up to the instant, in the order of time: each has an entry in the audit log.
    pub events: Vec<Uuid>,
}

/// A page of the waivers at an instant, by id.
///
/// # Errors As every query.
pub async fn waivers(
    pool: &PgPool,
    tenant: &TenantId,
    request: &WaiversRequest,
) -> Result<Page<WaiverItem, String>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let as_of = request.as_of;
    let mut query = QueryBuilder::new(
        "SELECT * FROM (SELECT w.*, ARRAY(SELECT f.event_id FROM compliance_waiver_fact AS f
                  WHERE f.tenant_id = w.tenant_id AND f.waiver = w.waiver AND f.decided_at <= ",
    );
    query.push_bind(as_of).push(" ORDER BY f.decided_at, f.event_id LIMIT ").push_bind(MAX_EVENTS);
    query.push(") AS events, CASE");
    for (condition, status) in [
        ("revoked_at", WaiverStatus::Revoked),
        ("rejected_at", WaiverStatus::Rejected),
        ("expires_at", WaiverStatus::Expired),
        ("granted_at", WaiverStatus::InForce),
        ("requested_at", WaiverStatus::Requested),
    ] {
        query.push(" WHEN ").push(condition).push(" <= ").push_bind(as_of);
        query.push(" THEN ").push_bind(status.name());
    }
    query.push(" ELSE 'ineffective' END AS status FROM compliance_waiver AS w WHERE tenant_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" AND first_at <= ").push_bind(as_of);
    if let Some(after) = &request.after {
        query.push(" AND waiver > ").push_bind(after.clone());
    }
    for (column, value) in [("policies", &request.filter.policy), ("resources", &request.filter.resource)] {
        if let Some(value) = value {
            query.push(" AND requested_at <= ").push_bind(as_of);
            query.push(" AND ").push_bind(value.clone()).push(" = ANY(").push(column).push(")");
        }
    }
    query.push(") AS t WHERE true");
    if let Some(status) = request.filter.status {
        query.push(" AND status = ").push_bind(status.name());
    }
    query.push(" ORDER BY waiver LIMIT ").push_bind(i64::from(request.limit) + 1);
    let decode = |row: &PgRow| decoded(row, as_of);
    snapshot.page(&mut query, request.limit, decode, |item| item.waiver.clone()).await
}

fn decoded(row: &PgRow, as_of: Timestamp) -> Result<WaiverItem, ReadError> {
    // A step after the instant is not known there.
    let step = |at: &str, by: &str| -> Result<(Option<Timestamp>, Option<String>), ReadError> {
        let at: Option<Timestamp> = row.try_get(at)?;
        let at = at.filter(|at| *at <= as_of);
        let by = if at.is_some() { row.try_get(by)? } else { None };
        Ok((at, by))
    };
    let (requested_at, requested_by) = step("requested_at", "requested_by")?;
    let (granted_at, granted_by) = step("granted_at", "granted_by")?;
    let (rejected_at, rejected_by) = step("rejected_at", "rejected_by")?;
    let (revoked_at, revoked_by) = step("revoked_at", "revoked_by")?;
    let Json(mut ineffective): Json<Vec<Value>> = row.try_get("ineffective")?;
    ineffective.retain(|step| {
        let at = step["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        at.is_none_or(|at| at <= as_of)
    });
    let is_known = requested_at.is_some();
    Ok(WaiverItem {
        waiver: row.try_get("waiver")?,
        status: word(row, "status", WaiverStatus::from_name)?,
        owner: if is_known { row.try_get("owner")? } else { None },
        policies: if is_known { row.try_get("policies")? } else { Vec::new() },
        resources: if is_known { row.try_get("resources")? } else { Vec::new() },
        reason: if is_known { row.try_get("reason")? } else { None },
        requested_by,
        requested_at,
        granted_by,
        granted_at,
        rejected_by,
        rejected_at,
        revoked_by,
        revoked_at,
        expires_at: if is_known { row.try_get("expires_at")? } else { None },
        ineffective,
        events: row.try_get("events")?,
    })
}
