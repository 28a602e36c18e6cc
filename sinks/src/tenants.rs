//! Tenants as operators see them: their limits, and what they use. For operators' connections:
//! `postgres::operator_pool`.

use std::{collections::BTreeMap, num::NonZeroU32};

use chrono::{DurationRound as _, TimeDelta};
use edge::tenants::Counts;
pub use edge::tenants::{Meter, Tenants};
use schemas::{
    TenantId, Timestamp,
    access::{LimitName, LimitTable},
};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};

/// Retention of usage counts.
const USE_IS_KEPT: TimeDelta = TimeDelta::days(1);
/// Limits that are read at most, and tenants that are listed.
const MAX_ROWS: i64 = 10_000;

/// A limit of a tenant's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLimit {
    /// The limit's name; of a later version maybe one that this one does not know.
    pub name: String,
    /// Value of the limit.
    pub value: u32,
    /// Time from which it applies.
    pub set_at: Timestamp,
    /// Operator who set it.
    pub set_by: String,
    /// Reason of the operator.
    pub reason: String,
}

/// A tenant, and its usage since the requested time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantUse {
    /// The tenant.
    pub tenant: String,
    /// Amounts used and refused, by the name of the [`Measure`](edge::tenants::Measure).
    pub used: BTreeMap<String, u64>,
    /// Limits of its own.
    pub limits: Vec<OwnLimit>,
    /// Number of active API keys.
    pub keys: u64,
}

/// The limits that the gateway and the query API hold to. One that this version does not know is left out.
pub async fn limits(pool: &PgPool) -> sqlx::Result<LimitTable> {
    let rows = sqlx::query("SELECT tenant_id, name, value FROM tenant_limit LIMIT $1")
        .bind(MAX_ROWS)
        .fetch_all(pool)
        .await?;
    let mut limits = Vec::with_capacity(rows.len());
    for row in rows {
        let (tenant, name): (&str, &str) = (row.try_get("tenant_id")?, row.try_get("name")?);
        let value = NonZeroU32::new(limit_value(&row)?);
        let known = TenantId::new(tenant).ok().zip(LimitName::from_name(name)).zip(value);
        if let Some(((tenant, name), value)) = known {
            limits.push((tenant, name, value));
        } else {
            tracing::warn!(tenant, limit = name, "ignoring a limit that this version does not know");
        }
    }
    Ok(limits.into_iter().collect())
}

/// Sets a limit of a tenant's own, or with `None` removes it; returns the previous one, if there was one.
pub async fn set_limit(
    connection: &mut PgConnection,
    tenant: &TenantId,
    name: LimitName,
    value: Option<NonZeroU32>,
    by: &str,
    reason: &str,
) -> sqlx::Result<Option<u32>> {
    let before = sqlx::query("SELECT value FROM tenant_limit WHERE tenant_id = $1 AND name = $2 FOR UPDATE")
        .bind(tenant.as_str())
        .bind(name.name())
        .fetch_optional(&mut *connection)
        .await?;
    let before = before.as_ref().map(limit_value).transpose()?;
    match value {
        Some(value) => {
            sqlx::query(
                "INSERT INTO tenant_limit (tenant_id, name, value, set_by, reason) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (tenant_id, name) DO UPDATE
                    SET value = EXCLUDED.value, set_at = now(), set_by = EXCLUDED.set_by, reason = EXCLUDED.reason",
            )
            .bind(tenant.as_str())
            .bind(name.name())
            .bind(i64::from(value.get()))
            .bind(by)
            .bind(reason)
            .execute(connection)
            .await?;
        }
        None => {
            sqlx::query("DELETE FROM tenant_limit WHERE tenant_id = $1 AND name = $2")
                .bind(tenant.as_str())
                .bind(name.name())
                .execute(connection)
                .await?;
        }
    }
    Ok(before)
}

/// Adds counted usage to the minute's.
pub async fn add_use(pool: &PgPool, counts: &Counts, now: Timestamp) -> sqlx::Result<()> {
    let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
    let mut rows: Vec<(&str, String, i64)> = counts
        .iter()
        .map(|((tenant, measure), amount)| {
            (tenant.as_str(), measure.name(), i64::try_from(*amount).unwrap_or(i64::MAX))
        })
        .collect();
    // In one order everywhere: replicas that add to the same rows wait for one another and never both for each other.
    rows.sort();
    let (mut tenants, mut measures, mut amounts) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, measure, amount) in rows {
        tenants.push(tenant);
        measures.push(measure);
        amounts.push(amount);
    }
    sqlx::query(
        "INSERT INTO tenant_use AS u (minute, tenant_id, measure, amount)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[])
         ON CONFLICT (minute, tenant_id, measure) DO UPDATE
            SET amount = least(u.amount::numeric + EXCLUDED.amount, 9223372036854775807)::bigint",
    )
    .bind(minute)
    .bind(tenants)
    .bind(measures)
    .bind(amounts)
    .execute(pool)
    .await
    .map(drop)
}

/// Deletes use that is older than a day.
pub async fn forget_use(pool: &PgPool, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM tenant_use WHERE minute < $1")
        .bind(now - USE_IS_KEPT)
        .execute(pool)
        .await
        .map(drop)
}

/// Every tenant that has a key, a limit of its own, or used something since then; or the one that is named.
pub async fn list(pool: &PgPool, since: Timestamp, only: Option<&TenantId>) -> sqlx::Result<Vec<TenantUse>> {
    let rows = sqlx::query(
        "WITH used AS (
             SELECT tenant_id, jsonb_object_agg(measure, amount) AS used
               FROM (SELECT tenant_id, measure, sum(amount)::bigint AS amount FROM tenant_use
                      WHERE minute >= $1 AND ($2::text IS NULL OR tenant_id = $2) GROUP BY 1, 2) AS sums
              GROUP BY 1),
         keys AS (
             SELECT tenant_id, count(*) AS keys FROM api_key
              WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
                AND ($2::text IS NULL OR tenant_id = $2) GROUP BY 1),
         limits AS (
             SELECT DISTINCT tenant_id FROM tenant_limit WHERE $2::text IS NULL OR tenant_id = $2)
         SELECT tenant_id, used, coalesce(keys, 0) AS keys
           FROM used FULL JOIN keys USING (tenant_id) FULL JOIN limits USING (tenant_id)
          ORDER BY tenant_id COLLATE \"C\" LIMIT $3",
    )
    .bind(since)
    .bind(only.map(TenantId::as_str))
    .bind(MAX_ROWS)
    .fetch_all(pool)
    .await?;
    let mut limits = own_limits(pool, only).await?;
    let mut tenants = Vec::with_capacity(rows.len());
    for row in rows {
        let tenant: String = row.try_get("tenant_id")?;
        let used: Option<sqlx::types::Json<BTreeMap<String, u64>>> = row.try_get("used")?;
        let keys: i64 = row.try_get("keys")?;
        tenants.push(TenantUse {
            used: used.map(|used| used.0).unwrap_or_default(),
            limits: limits.remove(&tenant).unwrap_or_default(),
            keys: u64::try_from(keys).unwrap_or_default(),
            tenant,
        });
    }
    Ok(tenants)
}

/// Records of a tenant that wait in `parked_record`.
pub async fn parked(pool: &PgPool, tenant: &TenantId) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM parked_record WHERE tenant_id = $1 AND status = 'parked'")
        .bind(tenant.as_str())
        .fetch_one(pool)
        .await
}

async fn own_limits(pool: &PgPool, only: Option<&TenantId>) -> sqlx::Result<BTreeMap<String, Vec<OwnLimit>>> {
    let rows = sqlx::query(
        "SELECT tenant_id, name, value, set_at, set_by, reason FROM tenant_limit
          WHERE $1::text IS NULL OR tenant_id = $1 ORDER BY tenant_id, name LIMIT $2",
    )
    .bind(only.map(TenantId::as_str))
    .bind(MAX_ROWS)
    .fetch_all(pool)
    .await?;
    let mut limits: BTreeMap<String, Vec<OwnLimit>> = BTreeMap::new();
    for row in rows {
        limits.entry(row.try_get("tenant_id")?).or_default().push(OwnLimit {
            name: row.try_get("name")?,
            value: limit_value(&row)?,
            set_at: row.try_get("set_at")?,
            set_by: row.try_get("set_by")?,
            reason: row.try_get("reason")?,
        });
    }
    Ok(limits)
}

fn limit_value(row: &PgRow) -> sqlx::Result<u32> {
    let value: i64 = row.try_get("value")?;
    u32::try_from(value).map_err(|_| sqlx::Error::Decode("a limit out of range".into()))
}
