//! Removal of data: of erased people, and of rows past their retention period.
//!
//! One process does it at a time. Writing and reading do not depend on it: if it fails, the failure is
//! logged, and tried again.

mod erase;
mod facts;
mod notes;
mod parties;
mod retire;
mod terms;

use std::time::Duration;

use audit_log::{
    SubjectSecret,
    keys::{PrivateKey, PublicKey, Purpose},
    verify::Trust,
};
use chrono::TimeDelta;
pub use erase::Erasures;
pub use projections::retention::{AuditRetention, RetentionRule};
use schemas::Timestamp;
use sqlx::{Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::log_store::StoreError;

/// Interval between checks for requested erasures.
const EVERY: Duration = Duration::from_secs(5);
/// Interval between checks whether a round of retention is due, and the time between two rounds.
const LOOK_EVERY: Duration = Duration::from_mins(10);
const RETIRE_AFTER: TimeDelta = TimeDelta::hours(6);

/// Configuration of the retention worker.
#[derive(Debug, Clone)]
pub struct RetentionConfig {
    /// `postgres://..`
    pub database_url: String,
    /// Secret from which subjects' keys are derived: the same as the audit stage's.
    pub secret: SubjectSecret,
    /// Retention periods.
    pub policy: RetentionPolicy,
}

/// Retention periods, and the signer of the notes on removed entries. `None` days keep data for ever.
#[derive(Debug, Clone, Default)]
pub struct RetentionPolicy {
    /// Of audit entries, from their arrival.
    pub audit: AuditRetention,
    /// Parked records, from when they were settled.
    pub settled_parked_days: Option<u32>,
    /// Risk signals and events that no rule could read, from the event's time; values of `first_seen` groups, from the
    /// newest event of the group.
    pub risk_days: Option<u32>,
    /// Events that correlations count, from the event's time, beyond twice the longest timespan of their group.
    pub correlation_days: Option<u32>,
    /// Measurements of utilisation and their sums by the hour, from when they were measured.
    pub utilisation_days: Option<u32>,
    /// The log's keys, which sign.
    pub keys: Vec<PrivateKey>,
    /// Keys that have signed before.
    pub earlier_keys: Vec<PublicKey>,
}

impl RetentionPolicy {
    /// Keys whose notes are trusted and continued.
    fn trust(&self) -> Trust {
        let own = self.keys.iter().map(|key| key.public(Purpose::Log));
        notes::trust(own.chain(self.earlier_keys.iter().cloned()).collect())
    }
}

/// Rows that one round removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// Audit entries.
    pub entries: u64,
    /// Partitions of the audit log.
    pub partitions: u64,
    /// Groups of audit entries that were due two days ago and could not be removed, among them those of a log with a
    /// note that the log's key has not signed.
    pub overdue: u64,
    /// Rows of other tables.
    pub others: Vec<(&'static str, u64)>,
}

/// Works until shutdown. Erasures do not wait for the removal of old rows, which may take hours.
pub async fn keep(config: RetentionConfig, stop: CancellationToken) {
    tokio::join!(keep_erasing(&config, &stop), keep_removing(&config, &stop));
}

async fn keep_erasing(config: &RetentionConfig, stop: &CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match stop.run_until_cancelled(round(config)).await {
            None => return,
            Some(Ok(_)) => {}
            Some(Err(error)) => warn!(%error, "cannot carry out erasures; will retry"),
        }
    }
}

async fn keep_removing(config: &RetentionConfig, stop: &CancellationToken) {
    let began = retire::now();
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match stop.run_until_cancelled(retire_if_due(config, began, retire::now())).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => warn!(%error, "cannot remove old rows; will retry"),
        }
    }
}

/// Runs one round, unless another process is doing so.
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

/// Removes rows that are due at this instant, unless another process is doing so.
pub async fn retire_round(config: &RetentionConfig, now: Timestamp) -> Result<Option<Removed>, StoreError> {
    let mut connection = connect(&config.database_url).await?;
    connection.execute("SET statement_timeout = '1h'").await?;
    let lock = "SELECT pg_try_advisory_lock(hashtext('weir retention by age'))";
    let mut removed = None;
    if sqlx::query_scalar(lock).fetch_one(&mut connection).await? {
        removed = Some(remove(&mut connection, &config.policy, now).await?);
    }
    connection.close().await?;
    Ok(removed)
}

async fn remove(
    connection: &mut PgConnection,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> Result<Removed, StoreError> {
    let entries = match notes::sign_again(connection, policy).await {
        Ok(foreign) => retire::entries(connection, (policy, &foreign), now).await,
        Err(error) => Err(error),
    };
    // What stops the audit log's entries does not stop the other tables' rows.
    let others = facts::remove(connection, policy, now).await?;
    let rows = |table: &'static str| metrics::counter!("weir_retention_rows_total", "table" => table);
    for (table, gone) in &others {
        rows(table).increment(*gone);
    }
    let entries = entries?;
    rows("audit_entry").increment(entries.entries);
    metrics::counter!("weir_retention_partitions_total").increment(entries.partitions);
    sqlx::query(
        "INSERT INTO retention_round AS r (completed_at, overdue_groups) VALUES (now(), $1)
         ON CONFLICT (one) DO UPDATE SET completed_at = now(), overdue_groups = excluded.overdue_groups",
    )
    .bind(i64::try_from(entries.overdue).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    let retire::RemovedEntries { entries, partitions, overdue } = entries;
    Ok(Removed { entries, partitions, overdue, others })
}

/// Every process reports the state, whichever process removes.
async fn retire_if_due(config: &RetentionConfig, began: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    if last_round(&config.database_url, began).await?.is_none_or(|at| at < now - RETIRE_AFTER) {
        retire_round(config, now).await?;
        last_round(&config.database_url, began).await?;
    }
    Ok(())
}

/// Reads the time at which the last round was completed, and sets its gauges.
async fn last_round(url: &str, began: Timestamp) -> sqlx::Result<Option<Timestamp>> {
    let mut connection = connect(url).await?;
    let last: Option<(Timestamp, i64)> =
        sqlx::query_as("SELECT completed_at, overdue_groups FROM retention_round")
            .fetch_optional(&mut connection)
            .await?;
    connection.close().await?;
    report(last, began);
    Ok(last.map(|(completed_at, _)| completed_at))
}

/// Sets the gauges of the last round. Before the first one they tell the process's start, so that an alert also
/// notices rounds that never succeed.
fn report(last: Option<(Timestamp, i64)>, began: Timestamp) {
    let (completed_at, overdue) = last.unwrap_or((began, 0));
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let (completed, overdue) = (completed_at.timestamp() as f64, overdue as f64);
    metrics::gauge!("weir_retention_completed_timestamp_seconds").set(completed);
    metrics::gauge!("weir_retention_overdue_groups").set(overdue);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_the_first_round_the_start_of_the_process_is_reported() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let _installed = metrics::set_default_local_recorder(&recorder);
        let at = |seconds| Timestamp::from_timestamp(seconds, 0).expect("an instant");
        for (last, completed, overdue) in [(None, 1000, 0), (Some((at(500), 3)), 500, 3)] {
            report(last, at(1000));
            let text = recorder.handle().render();
            for line in [
                format!("weir_retention_completed_timestamp_seconds {completed}"),
                format!("weir_retention_overdue_groups {overdue}"),
            ] {
                assert!(text.lines().any(|found| found == line), "{line}\n{text}");
            }
        }
    }
}
