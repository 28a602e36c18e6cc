//! Verdicts at an instant, by resource and policy.

use std::collections::BTreeMap;

use schemas::{
    TenantId, Timestamp,
    changes::compliance::{PolicySeverity, VerdictStatus},
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Postgres, QueryBuilder, Row, postgres::PgRow, types::Json};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{super::findings::word, STAGE, push_seen, push_waived};
use crate::read_models::{
    parameters::text,
    snapshot::{MAX_PAGE_BYTES, Page, ReadError, Snapshot, size_of_values},
};

/// Filter on verdicts; an absent parameter matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct VerdictsFilter {
    /// The answer.
    #[param(inline)]
    pub status: Option<VerdictStatus>,
    /// The policy's id, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub policy: Option<String>,
    /// The resource's id, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub resource: Option<String>,
    /// The resource's type, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub resource_type: Option<String>,
    /// The resource's project, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub project: Option<String>,
    /// A framework that the policy names, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub framework: Option<String>,
    /// A control that the policy names, in the framework or in any.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub control: Option<String>,
}

/// Request for one page.
#[derive(Debug, Clone)]
pub struct VerdictsRequest {
    /// Filter on the verdicts.
    pub filter: VerdictsFilter,
    /// The instant.
    pub as_of: Timestamp,
    /// Only verdicts after this one.
    pub after: Option<VerdictKey>,
    /// Most verdicts on the page.
    pub limit: u16,
}

/// The place of a verdict in a list: resource, then policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictKey {
    resource: String,
    policy_id: String,
}

/// One verdict. It pins the policy by id and hash, and the event by its id and its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerdictItem {
    /// The resource's id.
    pub resource: String,
    /// Its Terraform type or Kubernetes kind.
    pub resource_type: String,
    /// Its project.
    pub project: Option<String>,
    /// The policy's id.
    pub policy_id: String,
    /// SHA-256 of its text and that of its libraries, in hexadecimal digits.
    pub policy_hash: String,
    /// Its title.
    pub title: String,
    /// Severity of a failure.
    pub severity: PolicySeverity,
    /// The answer.
    pub status: VerdictStatus,
    /// The reasons of the answer.
    pub reasons: Vec<String>,
    /// The change that makes the resource compliant.
    pub remediation: String,
    /// Controls that it is evidence for, by framework.
    pub controls: BTreeMap<String, Vec<String>>,
    /// The waiver that holds for it; of several the one whose terms end last.
    pub waiver: Option<String>,
    /// Expiry of that waiver.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub waived_until: Option<Timestamp>,
    /// The event that shows the resource.
    pub event_id: Uuid,
    /// Time since which the resource is in this state.
    #[schema(value_type = String, format = DateTime)]
    pub observed_at: Timestamp,
    /// Topic of the event's record; with partition and offset it is found in the audit log, with its proof.
    pub topic: String,
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
}

/// A page of the verdicts at an instant, by resource and policy.
///
/// # Errors As every query.
pub async fn verdicts(
    pool: &PgPool,
    tenant: &TenantId,
    request: &VerdictsRequest,
) -> Result<Page<VerdictItem, VerdictKey>, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let (items, next) = page_of(&mut snapshot, tenant, request).await?;
    Ok(Page { items, next, reached: None, positions: snapshot.positions })
}

/// The same within a view.
pub(super) async fn page_of(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &VerdictsRequest,
) -> Result<(Vec<VerdictItem>, Option<VerdictKey>), ReadError> {
    let mut query = QueryBuilder::new(
        "SELECT n.resource, n.resource_type, n.project, n.event_id, n.valid_from, v.policy_id, v.policy_hash, v.status,
                v.reasons, p.title, p.severity, p.remediation, p.controls, w.waiver, w.expires_at, o.topic, o.partition,
                o.record_offset
           FROM (",
    );
    push_seen(&mut query, tenant, request.as_of);
    push_resource(&mut query, request);
    query.push(
        ") AS n JOIN compliance_verdict AS v USING (tenant_id, verdicts_key)
           JOIN compliance_policy AS p USING (tenant_id, policy_id, policy_hash)
           JOIN compliance_observation AS o ON o.tenant_id = n.tenant_id AND o.event_id = n.event_id
                AND o.resource = n.resource",
    );
    push_waived(&mut query, ("n.resource", "v.policy_id"), request.as_of);
    query.push(" AND v.status = 'fail' WHERE true");
    push_verdict(&mut query, request);
    query.push(" ORDER BY n.resource, v.policy_id LIMIT ").push_bind(i64::from(request.limit) + 1);
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    let (mut items, mut bytes) = (Vec::new(), 0);
    for row in rows.iter().take(usize::from(request.limit)) {
        if bytes > MAX_PAGE_BYTES {
            break;
        }
        bytes += size_of_values(row);
        items.push(decoded(row)?);
    }
    let more = rows.len() > items.len();
    let key = |item: &VerdictItem| VerdictKey {
        resource: item.resource.clone(),
        policy_id: item.policy_id.clone(),
    };
    let next = items.last().filter(|_| more).map(key);
    Ok((items, next))
}

fn push_resource(query: &mut QueryBuilder<Postgres>, request: &VerdictsRequest) {
    let filter = &request.filter;
    if let Some(after) = &request.after {
        query.push(" AND r.resource >= ").push_bind(after.resource.clone());
    }
    for (column, value) in [
        ("r.resource", &filter.resource),
        ("s.resource_type", &filter.resource_type),
        ("s.project", &filter.project),
    ] {
        if let Some(value) = value {
            query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
        }
    }
}

fn push_verdict(query: &mut QueryBuilder<Postgres>, request: &VerdictsRequest) {
    let filter = &request.filter;
    if let Some(after) = &request.after {
        query.push(" AND (n.resource, v.policy_id) > (").push_bind(after.resource.clone());
        query.push(", ").push_bind(after.policy_id.clone()).push(")");
    }
    if let Some(status) = filter.status {
        query.push(" AND v.status = ").push_bind(status.name());
    }
    if let Some(policy) = &filter.policy {
        query.push(" AND v.policy_id = ").push_bind(policy.clone());
    }
    match (&filter.framework, &filter.control) {
        (Some(framework), Some(control)) => {
            query.push(" AND (p.controls -> ").push_bind(framework.clone());
            query.push(") ? ").push_bind(control.clone());
        }
        (Some(framework), None) => {
            query.push(" AND p.controls ? ").push_bind(framework.clone());
        }
        (None, Some(control)) => {
            query.push(" AND EXISTS (SELECT FROM jsonb_each(p.controls) AS c(framework, ids) WHERE c.ids ? ");
            query.push_bind(control.clone()).push(")");
        }
        (None, None) => {}
    }
}

fn decoded(row: &PgRow) -> Result<VerdictItem, ReadError> {
    let Json(controls) = row.try_get("controls")?;
    Ok(VerdictItem {
        resource: row.try_get("resource")?,
        resource_type: row.try_get("resource_type")?,
        project: row.try_get("project")?,
        policy_id: row.try_get("policy_id")?,
        policy_hash: row.try_get("policy_hash")?,
        title: row.try_get("title")?,
        severity: word(row, "severity", PolicySeverity::from_name)?,
        status: word(row, "status", VerdictStatus::from_name)?,
        reasons: row.try_get("reasons")?,
        remediation: row.try_get("remediation")?,
        controls,
        waiver: row.try_get("waiver")?,
        waived_until: row.try_get("expires_at")?,
        event_id: row.try_get("event_id")?,
        observed_at: row.try_get("valid_from")?,
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("record_offset")?,
    })
}
