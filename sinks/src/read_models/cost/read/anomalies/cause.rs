//! The infrastructure events behind anomalies.

use chrono::{NaiveDate, NaiveTime};
use costs::anomaly::{self, Cause, InfrastructureEvent, SeriesKey};
use schemas::{TenantId, changes::cost::LifecycleKind, events::InfrastructureKind};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use super::{AnomalyCause, CostAnomaly, Series};
use crate::read_models::snapshot::{ReadError, Snapshot};

/// Most events that may explain something.
const MAX_EVENTS: i64 = 50_000;

/// An event, and by what its resource is known.
pub(super) struct Event {
    id: Uuid,
    resource_ref: String,
    told: InfrastructureEvent,
    resource: String,
}

/// Events that made, scaled or deleted something in these days.
pub(super) async fn events(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    (from, to): (NaiveDate, NaiveDate),
) -> Result<Vec<Event>, ReadError> {
    let rows = sqlx::query(
        "SELECT e.event_id, e.happened_at, e.kind, e.resource, e.resource_ref, e.actor, s.sub_account, s.service, s.region
           FROM cost_lifecycle_resource AS e JOIN cost_series AS s USING (tenant_id, series_key)
          WHERE e.tenant_id = $1 AND e.happened_at >= $2 AND e.happened_at < $3
          ORDER BY e.happened_at DESC, e.event_id LIMIT $4",
    )
    .bind(tenant.as_str())
    .bind(from.and_time(NaiveTime::MIN).and_utc())
    .bind(to.and_time(NaiveTime::MIN).and_utc())
    .bind(MAX_EVENTS)
    .fetch_all(snapshot.connection())
    .await?;
    rows.iter().map(event).collect()
}

fn event(row: &PgRow) -> Result<Event, ReadError> {
    let text = |name: &str| {
        Ok::<_, ReadError>(Some(row.try_get::<String, _>(name)?).filter(|text| !text.is_empty()))
    };
    let id: Uuid = row.try_get("event_id")?;
    let kind: &str = row.try_get("kind")?;
    let resource: String = row.try_get("resource")?;
    Ok(Event {
        id,
        resource_ref: row.try_get("resource_ref")?,
        told: InfrastructureEvent {
            id: id.to_string(),
            at: row.try_get("happened_at")?,
            kind: match LifecycleKind::from_name(kind) {
                Some(LifecycleKind::Provisioned) => InfrastructureKind::Provisioned,
                Some(LifecycleKind::Deleted) => InfrastructureKind::Deleted,
                _ => InfrastructureKind::Scaled,
            },
            place: SeriesKey {
                account: text("sub_account")?,
                service: text("service")?,
                region: text("region")?,
                resource: Some(resource.clone()),
            },
            actor: row.try_get("actor")?,
        },
        resource,
    })
}

/// The event behind an anomaly: that of the same resource, or the one that agrees in most dimensions.
pub(super) fn cause(
    anomaly: &CostAnomaly,
    series: Option<&Series>,
    events: &[Event],
) -> Option<AnomalyCause> {
    let key = SeriesKey {
        account: anomaly.account.clone(),
        service: anomaly.service.clone(),
        region: anomaly.region.clone(),
        resource: anomaly.resource.clone(),
    };
    let resource_ref = series.map(|series| series.resource_ref.as_str()).unwrap_or_default();
    let candidates: Vec<InfrastructureEvent> = events
        .iter()
        .map(|event| {
            let mut told = event.told.clone();
            // A bill may call the service and the region of the same resource by other names.
            if !resource_ref.is_empty() && event.resource_ref == resource_ref {
                told.place = key.clone();
            }
            told
        })
        .collect();
    let Cause { event, .. } = anomaly::explain(&key, anomaly.day, anomaly.impact, &candidates)?;
    let found = events.iter().find(|one| one.told.id == event.id)?;
    Some(AnomalyCause {
        event_id: found.id,
        at: event.at,
        kind: event.kind.name().to_ascii_lowercase(),
        resource: found.resource.clone(),
        actor: event.actor.clone(),
    })
}
