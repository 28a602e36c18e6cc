//! One resource at an instant: its state, verdicts, findings and earlier observations.

use schemas::{
    TenantId, Timestamp,
    changes::compliance::{ObservationSource, Presence},
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row, postgres::PgRow};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    super::findings::word,
    STAGE,
    findings::{self, FindingItem, FindingsFilter, FindingsRequest},
    verdicts::{VerdictItem, VerdictsFilter, VerdictsRequest, page_of},
};
use crate::read_models::snapshot::{Positions, ReadError, Snapshot};

/// Most verdicts and findings of an answer, and most observations.
const MAX_ITEMS: u16 = 1_000;
const MAX_OBSERVATIONS: i64 = 50;

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResourceDetail {
    /// Its id.
    pub resource: String,
    /// Its Terraform type or Kubernetes kind.
    pub resource_type: String,
    /// Provider, for example `aws`.
    pub cloud: Option<String>,
    /// Account, subscription, cluster or organisation.
    pub account: Option<String>,
    /// Region or zone.
    pub region: Option<String>,
    /// Name for people.
    pub name: Option<String>,
    /// Its project.
    pub project: Option<String>,
    /// Its environment.
    pub environment: Option<String>,
    /// Whether it exists.
    pub presence: Presence,
    /// Time since which this state holds.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The verdicts about it, by policy.
    pub verdicts: Vec<VerdictItem>,
    /// Its findings, newest first.
    pub findings: Vec<FindingItem>,
    /// Observations of the resource up to the instant, newest first.
    pub observations: Vec<ObservationItem>,
}

/// One observation of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObservationItem {
    /// The event.
    pub event_id: Uuid,
    /// Time of the event.
    #[schema(value_type = String, format = DateTime)]
    pub observed_at: Timestamp,
    /// Whether it existed.
    pub presence: Presence,
    /// The kind of event.
    pub source: ObservationSource,
    /// The change that makes it so, where a plan shows it.
    pub change_id: Option<String>,
    /// Reason for which the configuration could not be read.
    pub fault: Option<String>,
}

/// A resource at an instant; `None` where nothing is known of it by then.
///
/// # Errors As every query.
pub async fn resource(
    pool: &PgPool,
    tenant: &TenantId,
    id: &str,
    as_of: Timestamp,
) -> Result<(Option<ResourceDetail>, Positions), ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let row = sqlx::query(
        "SELECT s.valid_from, s.verdicts_key IS NOT NULL AS is_present, o.*
           FROM compliance_state AS s JOIN compliance_observation AS o USING (tenant_id, event_id, resource)
          WHERE s.tenant_id = $1 AND s.resource = $2 AND s.valid_from <= $3
          ORDER BY s.valid_from DESC, s.event_id DESC LIMIT 1",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(as_of)
    .fetch_optional(snapshot.connection())
    .await?;
    let Some(row) = row else { return Ok((None, snapshot.positions)) };
    let filter = VerdictsFilter { resource: Some(id.to_owned()), ..VerdictsFilter::default() };
    let asked = VerdictsRequest { filter, as_of, after: None, limit: MAX_ITEMS };
    let (verdicts, _) = page_of(&mut snapshot, tenant, &asked).await?;
    let filter = FindingsFilter { resource: Some(id.to_owned()), ..FindingsFilter::default() };
    let asked = FindingsRequest { filter, as_of, after: None, limit: MAX_ITEMS };
    let rows = findings::question(tenant, &asked).build().fetch_all(snapshot.connection()).await?;
    let findings =
        rows.iter().take(usize::from(MAX_ITEMS)).map(findings::decoded).collect::<Result<_, _>>()?;
    let observations = observations(&mut snapshot, tenant, id, as_of).await?;
    let is_present: bool = row.try_get("is_present")?;
    let detail = ResourceDetail {
        resource: row.try_get("resource")?,
        resource_type: row.try_get("resource_type")?,
        cloud: row.try_get("cloud")?,
        account: row.try_get("account")?,
        region: row.try_get("region")?,
        name: row.try_get("name")?,
        project: row.try_get("project")?,
        environment: row.try_get("environment")?,
        presence: if is_present { Presence::Present } else { Presence::Absent },
        since: row.try_get("valid_from")?,
        verdicts,
        findings,
        observations,
    };
    Ok((Some(detail), snapshot.positions))
}

async fn observations(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    id: &str,
    as_of: Timestamp,
) -> Result<Vec<ObservationItem>, ReadError> {
    let rows = sqlx::query(
        "SELECT event_id, observed_at, presence, source, change_id, fault FROM compliance_observation
          WHERE tenant_id = $1 AND resource = $2 AND observed_at <= $3
          ORDER BY observed_at DESC, event_id DESC LIMIT $4",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(as_of)
    .bind(MAX_OBSERVATIONS)
    .fetch_all(snapshot.connection())
    .await?;
    let one = |row: &PgRow| {
        Ok::<_, ReadError>(ObservationItem {
            event_id: row.try_get("event_id")?,
            observed_at: row.try_get("observed_at")?,
            presence: word(row, "presence", Presence::from_name)?,
            source: word(row, "source", ObservationSource::from_name)?,
            change_id: row.try_get("change_id")?,
            fault: row.try_get("fault")?,
        })
    };
    rows.iter().map(one).collect()
}
