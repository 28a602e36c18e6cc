//! Findings at an instant, newest first.

use schemas::{TenantId, Timestamp, changes::compliance::PolicySeverity};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Postgres, QueryBuilder, Row, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{super::findings::word, STAGE, push_waived};
use crate::read_models::{
    parameters::{text, truth},
    snapshot::{Page, ReadError, Snapshot},
};

/// Status of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingStatus {
    /// The policy fails.
    Open,
    /// The policy fails, and a waiver holds. When it ends, the finding is open again.
    Waived,
    /// The policy passes, or no longer judges the resource, or the resource was deleted.
    Closed,
}

impl FindingStatus {
    const ALL: [Self; 3] = [Self::Open, Self::Waived, Self::Closed];

    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Waived => "waived",
            Self::Closed => "closed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Filter on findings; an absent parameter matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct FindingsFilter {
    /// Status of the finding.
    #[param(inline)]
    pub status: Option<FindingStatus>,
    /// Severity of the finding.
    #[param(inline)]
    pub severity: Option<PolicySeverity>,
    /// Whether it is open beyond its time.
    #[serde(deserialize_with = "truth")]
    #[param(value_type = Option<bool>)]
    pub overdue: Option<bool>,
    /// The policy's id, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub policy: Option<String>,
    /// The resource's id, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub resource: Option<String>,
    /// The resource's project, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub project: Option<String>,
}

/// Request for one page.
#[derive(Debug, Clone)]
pub struct FindingsRequest {
    /// Filter on the findings.
    pub filter: FindingsFilter,
    /// The instant.
    pub as_of: Timestamp,
    /// Only findings after this one.
    pub after: Option<FindingKey>,
    /// Most findings on the page.
    pub limit: u16,
}

/// The place of a finding in a list: newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingKey {
    opened_at: Timestamp,
    finding_id: Uuid,
}

/// One finding: a policy that fails for a resource, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingItem {
    /// The same for every time that the policy fails for the resource.
    pub finding_id: Uuid,
    /// Status of the finding.
    pub status: FindingStatus,
    /// The resource's id.
    pub resource: String,
    /// Its Terraform type or Kubernetes kind.
    pub resource_type: String,
    /// Its project.
    pub project: Option<String>,
    /// The policy's id.
    pub policy_id: String,
    /// The version of the policy that failed first.
    pub policy_hash: String,
    /// Its title.
    pub title: String,
    /// Severity of the finding.
    pub severity: PolicySeverity,
    /// The reasons when it opened.
    pub reasons: Vec<String>,
    /// The change that makes the resource compliant.
    pub remediation: String,
    /// Number of times that the finding was reopened.
    pub reopened: i32,
    /// Time at which it opened, or was reopened.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// The event that shows it.
    pub opened_by: Uuid,
    /// Time by which it ought to be closed.
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Timestamp,
    /// Whether it is open beyond that.
    pub overdue: bool,
    /// Time at which it closed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// The event that shows it.
    pub closed_by: Option<Uuid>,
    /// `passed`, `resource_gone` or `not_applicable`.
    pub close_reason: Option<String>,
    /// The waiver that holds; of several the one whose terms end last.
    pub waiver: Option<String>,
    /// Expiry of that waiver.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub waived_until: Option<Timestamp>,
}

/// A page of the findings at an instant, those that opened last first. Of a finding that was opened again the last time
/// counts.
///
/// # Errors As every query.
pub async fn findings(
    pool: &PgPool,
    tenant: &TenantId,
    request: &FindingsRequest,
) -> Result<Page<FindingItem, FindingKey>, ReadError> {
    let snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = question(tenant, request);
    let key = |item: &FindingItem| FindingKey { opened_at: item.opened_at, finding_id: item.finding_id };
    snapshot.page(&mut query, request.limit, decoded, key).await
}

/// Query for a page and one row more.
pub(super) fn question(tenant: &TenantId, request: &FindingsRequest) -> QueryBuilder<Postgres> {
    let as_of = request.as_of;
    // The page is cut first and joined with its policies then: Postgres takes the join for so selective that it would
    // look at all findings otherwise.
    let mut query = QueryBuilder::new("SELECT t.*, p.title, p.remediation, status = 'open' AND due_at <= ");
    query
        .push_bind(as_of)
        .push(" AS overdue FROM (SELECT * FROM (SELECT f.*, w.waiver, w.expires_at, f.closed_at <= ");
    query.push_bind(as_of).push(" AS ended, CASE WHEN f.closed_at <= ").push_bind(as_of);
    query.push(
        " THEN 'closed' WHEN w.waiver IS NOT NULL THEN 'waived' ELSE 'open' END AS status
           FROM compliance_finding AS f",
    );
    push_waived(&mut query, ("f.resource", "f.policy_id"), as_of);
    query.push(" WHERE f.tenant_id = ").push_bind(tenant.as_str().to_owned());
    push_wanted(&mut query, request);
    query.push(
        " AND NOT EXISTS (SELECT FROM compliance_finding AS l WHERE l.tenant_id = f.tenant_id
             AND l.finding_id = f.finding_id AND l.opened_at > f.opened_at AND l.opened_at <= ",
    );
    query.push_bind(as_of).push(")) AS s WHERE true");
    let filter = &request.filter;
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.name());
    }
    if let Some(overdue) = filter.overdue {
        query.push(" AND (status = 'open' AND due_at <= ").push_bind(as_of);
        query.push(") = ").push_bind(overdue);
    }
    query.push(" ORDER BY opened_at DESC, finding_id DESC LIMIT ").push_bind(i64::from(request.limit) + 1);
    query.push(
        ") AS t JOIN compliance_policy AS p USING (tenant_id, policy_id, policy_hash)
           ORDER BY t.opened_at DESC, t.finding_id DESC",
    );
    query
}

/// Conditions on the rows `f` themselves.
fn push_wanted(query: &mut QueryBuilder<Postgres>, request: &FindingsRequest) {
    let (filter, as_of) = (&request.filter, request.as_of);
    query.push(" AND f.opened_at <= ").push_bind(as_of);
    if let Some(after) = &request.after {
        query.push(" AND (f.opened_at, f.finding_id) < (").push_bind(after.opened_at);
        query.push(", ").push_bind(after.finding_id).push(")");
    }
    for (column, value) in
        [("f.policy_id", &filter.policy), ("f.resource", &filter.resource), ("f.project", &filter.project)]
    {
        if let Some(value) = value {
            query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
        }
    }
    if let Some(severity) = filter.severity {
        query.push(" AND f.severity = ").push_bind(severity.name());
    }
    // Implied by the status, so that other rows are left out before their waivers are looked up.
    match filter.status {
        Some(FindingStatus::Closed) => {
            query.push(" AND f.closed_at <= ").push_bind(as_of);
        }
        Some(FindingStatus::Open | FindingStatus::Waived) => {
            query.push(" AND (f.closed_at IS NULL OR f.closed_at > ").push_bind(as_of).push(")");
        }
        None => {}
    }
}

pub(super) fn decoded(row: &PgRow) -> Result<FindingItem, ReadError> {
    // An end after the instant is not known there.
    let ended = row.try_get::<Option<bool>, _>("ended")?.unwrap_or_default();
    Ok(FindingItem {
        finding_id: row.try_get("finding_id")?,
        status: word(row, "status", FindingStatus::from_name)?,
        resource: row.try_get("resource")?,
        resource_type: row.try_get("resource_type")?,
        project: row.try_get("project")?,
        policy_id: row.try_get("policy_id")?,
        policy_hash: row.try_get("policy_hash")?,
        title: row.try_get("title")?,
        severity: word(row, "severity", PolicySeverity::from_name)?,
        reasons: row.try_get("reasons")?,
        remediation: row.try_get("remediation")?,
        reopened: row.try_get::<i32, _>("number")? - 1,
        opened_at: row.try_get("opened_at")?,
        opened_by: row.try_get("opened_by")?,
        due_at: row.try_get("due_at")?,
        overdue: row.try_get("overdue")?,
        closed_at: if ended { row.try_get("closed_at")? } else { None },
        closed_by: if ended { row.try_get("closed_by")? } else { None },
        close_reason: if ended { row.try_get("close_reason")? } else { None },
        waiver: row.try_get("waiver")?,
        waived_until: row.try_get("expires_at")?,
    })
}
