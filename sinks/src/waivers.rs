//! Waivers as the gateway reads them: those that are granted and have not ended. For a service's connections:
//! `postgres::service_pool`.

use schemas::{
    TenantId, Timestamp,
    changes::waivers::{GrantedWaiver, GrantedWaivers},
};
use sqlx::{PgPool, Row as _};

/// Waivers of one tenant that are read at most; those that end first are left out.
pub const MAX_OF_TENANT: i64 = 5_000;
/// Waivers of all tenants that are read at most, so many of each.
const MAX_WAIVERS: i64 = 50_000;

/// The granted waivers of all tenants, within the bounds on them.
#[derive(Debug, Default)]
pub struct ReadWaivers {
    /// Those that were read.
    pub waivers: GrantedWaivers,
    /// Number of those that were left out.
    pub left_out: i64,
}

/// The granted waivers of all tenants that end after an instant.
pub async fn granted(pool: &PgPool, after: Timestamp) -> sqlx::Result<ReadWaivers> {
    // By turns: a tenant with very many leaves room for those of the others.
    let rows = sqlx::query(
        "SELECT tenant_id, waiver, policies, resources, granted_at, ends_at, expires_at, place, of_tenant
           FROM (SELECT tenant_id, waiver, policies, resources, granted_at, ends_at, expires_at,
                        row_number() OVER (PARTITION BY tenant_id ORDER BY ends_at DESC, waiver) AS place,
                        count(*) OVER (PARTITION BY tenant_id) AS of_tenant
                   FROM compliance_waiver
                  WHERE ends_at > $1 AND granted_at IS NOT NULL AND expires_at IS NOT NULL) AS held
          WHERE place <= $2 ORDER BY place, tenant_id LIMIT $3",
    )
    .bind(after)
    .bind(MAX_OF_TENANT)
    .bind(MAX_WAIVERS)
    .fetch_all(pool)
    .await?;
    let (mut waivers, mut left_out) = (Vec::with_capacity(rows.len()), 0_i64);
    for row in rows {
        let first = row.try_get::<i64, _>("place")? == 1;
        left_out += if first { row.try_get::<i64, _>("of_tenant")? - 1 } else { -1 };
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
    Ok(ReadWaivers { waivers: waivers.into_iter().collect(), left_out })
}
