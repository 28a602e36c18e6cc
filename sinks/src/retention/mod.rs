//! What goes from the tables again: the data of erased people, and what is older than it must be kept.
//!
//! One process does it at a time. Nothing of it is needed for writing or reading: where it cannot be done, that is told,
//! and tried again.

mod erase;
mod terms;

use std::time::Duration;

use audit_log::SubjectSecret;
pub use erase::Erasures;
use sqlx::{Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often erasures are looked for.
const EVERY: Duration = Duration::from_secs(5);

/// What the work needs.
#[derive(Debug, Clone)]
pub struct RetentionConfig {
    /// `postgres://..`
    pub database_url: String,
    /// What subjects' keys are derived from: the same as the audit stage's.
    pub secret: SubjectSecret,
}

/// Works until told to stop.
pub async fn keep(config: RetentionConfig, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match stop.run_until_cancelled(round(&config)).await {
            None => return,
            Some(Ok(_)) => {}
            Some(Err(error)) => warn!(%error, "retention cannot work now; will try again"),
        }
    }
}

/// One round, unless another process is at it.
pub async fn round(config: &RetentionConfig) -> sqlx::Result<Option<Erasures>> {
    let mut connection = connect(&config.database_url).await?;
    let lock = "SELECT pg_try_advisory_lock(hashtext('weir retention'))";
    let mut standing = None;
    if sqlx::query_scalar(lock).fetch_one(&mut connection).await? {
        let erasures = erase::round(&mut connection, &config.secret).await?;
        tell(&erasures);
        standing = Some(erasures);
    }
    connection.close().await?;
    Ok(standing)
}

fn tell(erasures: &Erasures) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!("weir_erasures_waiting").set(erasures.waiting as f64);
    metrics::counter!("weir_erasures_total").increment(erasures.done);
    metrics::counter!("weir_erased_entries_total").increment(erasures.entries);
}

/// A connection that may work for long: role `weir_writer`.
async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    let options = url.parse::<PgConnectOptions>()?.application_name("weir-retention").options([
        ("statement_timeout", "5min"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("TimeZone", "UTC"),
    ]);
    let mut connection = PgConnection::connect_with(&options).await?;
    connection.execute("SET ROLE weir_writer").await?;
    Ok(connection)
}
