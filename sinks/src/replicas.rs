//! The running processes of a service, among which the callers' rate limits are divided.

use std::num::NonZeroU32;

use sqlx::PgPool;
use uuid::Uuid;

use crate::session::service_pool;

/// A running process of a service.
#[derive(Debug)]
pub struct Replica {
    pool: PgPool,
    service: &'static str,
    id: Uuid,
}

impl Replica {
    /// A new replica of the service; connects when it is first used.
    pub fn new(database_url: &str, service: &'static str) -> sqlx::Result<Self> {
        Ok(Self { pool: service_pool(database_url, 1)?, service, id: Uuid::new_v4() })
    }

    /// Notes that this replica runs. Returns the number of replicas of its service that were seen within 10
    /// s, this one included.
    pub async fn beat(&self) -> sqlx::Result<NonZeroU32> {
        let others: i64 = sqlx::query_scalar(
            "WITH own AS (
               INSERT INTO service_replica (service, replica, seen_at) VALUES ($1, $2, now())
               ON CONFLICT (service, replica) DO UPDATE SET seen_at = excluded.seen_at),
             gone AS (
               DELETE FROM service_replica WHERE service = $1 AND seen_at < now() - interval '1 minute')
             SELECT count(*) FROM service_replica
              WHERE service = $1 AND replica <> $2 AND seen_at > now() - interval '10 seconds'",
        )
        .bind(self.service)
        .bind(self.id)
        .fetch_one(&self.pool)
        .await?;
        Ok(NonZeroU32::MIN.saturating_add(u32::try_from(others).unwrap_or(u32::MAX - 1)))
    }

    /// Notes that this replica ends: the others take over its part at once.
    pub async fn end(&self) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM service_replica WHERE service = $1 AND replica = $2")
            .bind(self.service)
            .bind(self.id)
            .execute(&self.pool)
            .await
            .map(drop)
    }
}
