//! Waivers as the gateway reads them: those that are granted and have not ended. For a service's connections:
//! `postgres::service_pool`.

use schemas::{
    TenantId, Timestamp,
    changes::waivers::{GrantedWaiver, GrantedWaivers},
};
use sqlx::{PgPool, Row as _};

/// Waivers that are read at most; those that end first are left out.
const MAX_WAIVERS: i64 = 20_000;

/// The granted waivers of all tenants that end after an instant.
pub async fn granted(pool: &PgPool, after: Timestamp) -> sqlx::Result<GrantedWaivers> {
    let rows = sqlx::query(
        "SELECT tenant_id, waiver, policies, resources, granted_at, ends_at, expires_at
           FROM compliance_waiver
          WHERE ends_at > $1 AND granted_at IS NOT NULL AND expires_at IS NOT NULL
          ORDER BY ends_at DESC, tenant_id, waiver LIMIT $2",
    )
    .bind(after)
    .bind(MAX_WAIVERS)
    .fetch_all(pool)
    .await?;
    let mut waivers = Vec::with_capacity(rows.len());
    for row in rows {
        let tenant: &str = row.try_get("tenant_id")?;
        let Ok(tenant) = TenantId::new(tenant) else { continue };
        let waiver = GrantedWaiver {
            waiver: row.try_get("waiver")?,
            policies: row.try_get("policies")?,
            resources: row.try_get("resources")?,
            from: row.try_get("granted_at")?,
            until: row.try_get("ends_at")?,
            expires_at: row.try_get("expires_at")?,
        };
        waivers.push((tenant, waiver));
    }
    Ok(waivers.into_iter().collect())
}
