//! Upkeep of the audit log beside its writers: partitions ahead, rows that lie in the default partition, filters of full
//! block ranges. One process does it at a time; a stage that runs without it writes and reads all the same.

use std::{collections::HashMap, time::Duration};

use chrono::{NaiveDate, Utc};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Interval between rounds of upkeep.
const EVERY: Duration = Duration::from_secs(30);
/// Months of partitions that are made ahead.
const MONTHS_AHEAD: u32 = 2;
/// Rows that one statement moves.
const SLICE_ROWS: i64 = 10_000;
/// Attempts of a finished move to lock the default partition, and the pause between two.
const FINISH_ATTEMPTS: usize = 20;
const FINISH_PAUSE: Duration = Duration::from_millis(250);
/// Block ranges of one partition that are summarised in one round.
const RANGES_A_ROUND: i32 = 1_024;

/// Maintains the log until shutdown. Failed upkeep is retried: writing does not depend on it.
pub async fn keep_up(url: String, stop: CancellationToken) {
    let mut upkeep = Upkeep::default();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let round = upkeep.round(&url, Utc::now().date_naive());
        match stop.run_until_cancelled(round).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => warn!(%error, "upkeep of the audit log failed; will retry"),
        }
    }
}

/// State that upkeep keeps between rounds.
#[derive(Debug, Default)]
pub struct Upkeep {
    /// The block of each partition's filter index up to which all ranges are summarised.
    summarised: HashMap<String, i64>,
}

impl Upkeep {
    /// Runs one round, unless another process is doing so.
    pub async fn round(&mut self, url: &str, today: NaiveDate) -> sqlx::Result<()> {
        let mut connection = connect(url).await?;
        let lock = "SELECT pg_try_advisory_lock(hashtext('audit_entry_upkeep'))";
        if sqlx::query_scalar(lock).fetch_one(&mut connection).await? {
            self.months_ahead(&mut connection, today).await;
            move_misplaced(&mut connection, today).await?;
            self.summarise(&mut connection).await?;
        }
        connection.close().await
    }

    async fn months_ahead(&self, connection: &mut PgConnection, today: NaiveDate) {
        for ahead in 0..=MONTHS_AHEAD {
            let Some(day) = today.checked_add_months(chrono::Months::new(ahead)) else { return };
            let make = sqlx::query("SELECT audit_entry_make_partition($1, $2)").bind(day).bind(today);
            if let Err(error) = make.execute(&mut *connection).await {
                warn!(%day, %error, "cannot create a month's partition in advance; will retry");
            }
        }
    }

    async fn summarise(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let indexes: Vec<String> = sqlx::query_scalar(
            "SELECT inhrelid::regclass::text FROM pg_inherits
              WHERE inhparent IN (to_regclass('audit_entry_bloom_actor'), to_regclass('audit_entry_bloom_object'),
                                  to_regclass('audit_entry_bloom_others'))",
        )
        .fetch_all(&mut *connection)
        .await?;
        self.summarised.retain(|index, _| indexes.contains(index));
        for index in indexes {
            let from = self.summarised.get(&index).copied().unwrap_or_default();
            let to: i64 = sqlx::query_scalar("SELECT audit_entry_summarise($1::regclass, $2, $3)")
                .bind(&index)
                .bind(from)
                .bind(RANGES_A_ROUND)
                .fetch_one(&mut *connection)
                .await?;
            self.summarised.insert(index, to);
        }
        Ok(())
    }
}

/// A connection that may work for long and waits for no lock: role `weir_writer`.
async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    let options = url.parse::<PgConnectOptions>()?.application_name("weir-audit-upkeep").options([
        ("statement_timeout", "10min"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("TimeZone", "UTC"),
    ]);
    let mut connection = PgConnection::connect_with(&options).await?;
    connection.execute("SET ROLE weir_writer").await?;
    Ok(connection)
}

/// Moves rows out of the default partition into partitions of their own.
async fn move_misplaced(connection: &mut PgConnection, today: NaiveDate) -> sqlx::Result<()> {
    let misplaced: Vec<(NaiveDate, i64)> =
        sqlx::query_as("SELECT day, misplaced FROM audit_entry_misplaced($1)")
            .bind(today)
            .fetch_all(&mut *connection)
            .await?;
    let mut left: i64 = misplaced.iter().map(|(_, rows)| rows).sum();
    gauge(left);
    for (day, rows) in misplaced {
        let free: bool =
            sqlx::query_scalar("SELECT audit_entry_default_is_free()").fetch_one(&mut *connection).await?;
        if !free {
            info!(rows = left, "rows stay in the default partition until its long-running reader ends");
            return Ok(());
        }
        if move_partition(connection, day, today).await? {
            info!(%day, rows, "rows moved from the default partition into one of their own");
            left -= rows;
            gauge(left);
        }
    }
    Ok(())
}

fn gauge(rows: i64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!("weir_audit_misplaced_rows").set(rows as f64);
}

/// Moves the rows of one partition, slice by slice in one transaction: readers see each row once at any time.
/// Only the last step takes a lock that others wait for, and only if it is free.
async fn move_partition(
    connection: &mut PgConnection,
    day: NaiveDate,
    today: NaiveDate,
) -> sqlx::Result<bool> {
    let mut tx = connection.begin().await?;
    loop {
        let moved: i64 = sqlx::query_scalar("SELECT audit_entry_move_slice($1, $2, $3)")
            .bind(day)
            .bind(today)
            .bind(SLICE_ROWS)
            .fetch_one(&mut *tx)
            .await?;
        if moved < SLICE_ROWS {
            break;
        }
    }
    for _ in 0..FINISH_ATTEMPTS {
        let mut last = tx.begin().await?;
        let finish = sqlx::query("SELECT audit_entry_finish_move($1, $2)").bind(day).bind(today);
        match finish.execute(&mut *last).await {
            Ok(_) => {
                last.commit().await?;
                tx.commit().await?;
                return Ok(true);
            }
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
                last.rollback().await?;
                sleep(FINISH_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    tx.rollback().await?;
    info!(%day, "rows stay in the default partition for now: readers hold its lock");
    Ok(false)
}
