//! States of resources: from observations directly, and from plans once their changes are applied.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Timestamp, changes::compliance::Observation};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    table::{ResourceKey, StateRow},
    write::{Batch, verdicts_key},
};

/// A resource by tenant and id.
pub(super) type Touched = BTreeSet<(String, String)>;

/// Derives the states that a batch touches; the resources whose states changed.
pub(super) async fn derive(tx: &mut PgConnection, batch: &Batch<'_>) -> sqlx::Result<Touched> {
    let mut changes: BTreeSet<(&str, &str)> =
        batch.applied.iter().map(|applied| (applied.tenant.as_str(), applied.change_id.as_str())).collect();
    let mut rows: BTreeMap<(&str, &str, Timestamp, Uuid), StateRow<'_>> = BTreeMap::new();
    let mut touched = Touched::new();
    for observation in batch.seen() {
        let tenant = observation.tenant.as_str();
        if let Some(change) = &observation.change_id {
            changes.insert((tenant, change));
        } else if observation.fault.is_none() {
            let key =
                (tenant, &*observation.resource, observation.observed_at, *observation.event_id.as_uuid());
            rows.insert(key, state_row(observation));
            touched.insert((tenant.to_owned(), observation.resource.clone()));
        }
    }
    for (tenant, change) in &changes {
        lock_change(tx, tenant, change).await?;
    }
    for (tenant, change) in &changes {
        derive_change(tx, (tenant, change), &mut touched).await?;
    }
    let rows: Vec<_> = rows.into_values().collect();
    if !rows.is_empty() {
        StateRow::insert_missing(tx, &rows).await?;
    }
    lock_resources(tx, &touched).await?;
    Ok(touched)
}

fn state_row(observation: &Observation) -> StateRow<'_> {
    StateRow {
        tenant_id: observation.tenant.as_str(),
        resource: &observation.resource,
        valid_from: observation.observed_at,
        event_id: *observation.event_id.as_uuid(),
        verdicts_key: verdicts_key(observation),
        resource_type: &observation.attributes.kind,
        project: observation.attributes.project.as_deref(),
    }
}

/// Proposals of a change and its completion may come by different partitions: one of them must see the other.
async fn lock_change(tx: &mut PgConnection, tenant: &str, change: &str) -> sqlx::Result<()> {
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtextextended('weir.compliance.change/' || $1 || '/' || $2, 0))",
    )
    .bind(tenant)
    .bind(change)
    .execute(tx)
    .await
    .map(drop)
}

/// Derives the states that a change makes anew: each time that it is applied, its resources are as the last plan before
/// shows them.
async fn derive_change(
    tx: &mut PgConnection,
    (tenant, change): (&str, &str),
    touched: &mut Touched,
) -> sqlx::Result<()> {
    let gone: Vec<String> = sqlx::query_scalar(
        "DELETE FROM compliance_state AS s
          USING (SELECT DISTINCT event_id FROM compliance_observation WHERE tenant_id = $1 AND change_id = $2) AS o
          WHERE s.tenant_id = $1 AND s.event_id = o.event_id RETURNING s.resource",
    )
    .bind(tenant)
    .bind(change)
    .fetch_all(&mut *tx)
    .await?;
    let made = sqlx::query(
        "INSERT INTO compliance_state (tenant_id, resource, valid_from, event_id, verdicts_key, resource_type, project)
         SELECT DISTINCT o.tenant_id, o.resource, a.applied_at, o.event_id, o.verdicts_key, o.resource_type, o.project
           FROM (SELECT DISTINCT applied_at FROM compliance_applied WHERE tenant_id = $1 AND change_id = $2) AS a
          CROSS JOIN LATERAL (
                SELECT event_id FROM compliance_observation
                 WHERE tenant_id = $1 AND change_id = $2 AND observed_at <= a.applied_at
                 ORDER BY observed_at DESC, event_id DESC LIMIT 1) AS plan
           JOIN compliance_observation AS o ON o.tenant_id = $1 AND o.event_id = plan.event_id
          WHERE o.fault IS NULL ORDER BY 1, 2, 3, 4
         RETURNING resource",
    )
    .bind(tenant)
    .bind(change)
    .fetch_all(tx)
    .await?;
    touched.extend(gone.into_iter().map(|resource| (tenant.to_owned(), resource)));
    for row in &made {
        touched.insert((tenant.to_owned(), row.try_get("resource")?));
    }
    Ok(())
}

/// Makes the resources that are missing and locks all, in the order of the primary key: whoever derives from the states of
/// a resource must see all of them.
async fn lock_resources(tx: &mut PgConnection, touched: &Touched) -> sqlx::Result<()> {
    if touched.is_empty() {
        return Ok(());
    }
    let keys = keys_of(touched);
    sqlx::query(
        "INSERT INTO compliance_resource (tenant_id, resource)
         SELECT * FROM unnest($1::compliance_resource_key[]) ON CONFLICT DO NOTHING",
    )
    .bind(&keys)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "SELECT FROM unnest($1::compliance_resource_key[]) WITH ORDINALITY AS a(tenant_id, resource, nth)
           JOIN compliance_resource AS r USING (tenant_id, resource) ORDER BY a.nth FOR UPDATE OF r",
    )
    .bind(&keys)
    .execute(tx)
    .await
    .map(drop)
}

pub(super) fn keys_of(touched: &Touched) -> Vec<ResourceKey<'_>> {
    touched.iter().map(|(tenant_id, resource)| ResourceKey { tenant_id, resource }).collect()
}
