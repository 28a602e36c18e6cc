//! State of sinks, and operators' decisions about them: the table `siem_sink`.

use schemas::{Timestamp, Topic};
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};

use crate::{
    batch::TopicPartition,
    delivery::DeliveryError,
    ledger::{Ledger, within},
    positions::{Decision, Operator, PositionChange},
    session::Failure,
};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// State of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The last request was taken.
    Delivering,
    /// The last request failed, and is tried again.
    Retrying(String),
    /// The receiver refuses everything until its settings or the sink's are changed; it is probed.
    Refused(String),
    /// An operator has paused it.
    Paused(String),
}

impl State {
    fn told(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Delivering => ("delivering", None),
            Self::Retrying(why) => ("retrying", Some(why)),
            Self::Refused(why) => ("refused", Some(why)),
            Self::Paused(why) => ("paused", Some(why)),
        }
    }
}

/// A sink as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StoredSink {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Option<String>,
    /// `delivering`, `retrying`, `refused` or `paused`; none before its first request.
    pub state: Option<String>,
    /// The receiver's answer, if it refused the last request.
    pub why: Option<String>,
    /// Time of the last change of state.
    pub state_since: Option<Timestamp>,
    /// Operator who paused it, if it is paused.
    pub paused_by: Option<String>,
    /// Reason of the operator for the pause.
    pub paused_why: Option<String>,
    /// Entries of backfills that are still to be read from the table.
    pub backfill: i64,
}

/// Every sink that was ever run or paused, by name.
pub async fn list(from: impl PgExecutor<'_>) -> sqlx::Result<Vec<StoredSink>> {
    sqlx::query_as(
        "SELECT name, kind, state, why, state_since, paused_by, paused_why,
                (SELECT coalesce(sum(b.until_index - b.next_index), 0)::bigint FROM siem_backfill AS b
                  WHERE b.sink = name) AS backfill
           FROM siem_sink ORDER BY name",
    )
    .fetch_all(from)
    .await
}

/// Error of pausing a sink.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// The sink has no position.
    #[error(
        "the sink has never run: `weir sink start {0} --from now` (or beginning) says where it begins; pause it then"
    )]
    NeverRan(String),
    /// Postgres refused or does not answer.
    #[error("the database refused or is unreachable")]
    Database(#[from] sqlx::Error),
}

/// Pauses a sink until it is resumed, and leaves an event about it. Its position stays.
pub async fn pause(pool: &PgPool, name: &str, by: &Operator, why: &str) -> Result<(), PauseError> {
    let mut tx = pool.begin().await?;
    let change = first_position(&mut tx, name).await?;
    let change = change.ok_or_else(|| PauseError::NeverRan(name.to_owned()))?;
    let at: Timestamp = sqlx::query_scalar(
        "INSERT INTO siem_sink (name, paused_by, paused_why, paused_at) VALUES ($1, $2, $3, now())
         ON CONFLICT (name) DO UPDATE
            SET paused_by = excluded.paused_by, paused_why = excluded.paused_why, paused_at = excluded.paused_at
         RETURNING paused_at",
    )
    .bind(name)
    .bind(&by.name)
    .bind(why)
    .fetch_one(&mut *tx)
    .await?;
    let message =
        if why.is_empty() { "delivers nothing".to_owned() } else { format!("delivers nothing: {why}") };
    Decision { change: &change, by, action: "PauseSink", message, at }.announce(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Lifts a pause, and leaves an event about it; returns who had paused the sink and why, if it was paused.
pub async fn resume(pool: &PgPool, name: &str, by: &Operator) -> sqlx::Result<Option<String>> {
    let mut tx = pool.begin().await?;
    let was: Option<(String, Option<String>, Timestamp)> = sqlx::query_as(
        "SELECT paused_by, paused_why, now() FROM siem_sink WHERE name = $1 AND paused_by IS NOT NULL FOR UPDATE",
    )
    .bind(name)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((paused_by, why, at)) = was else { return Ok(None) };
    let was = paused_for(paused_by, why);
    sqlx::query("UPDATE siem_sink SET paused_by = NULL, paused_why = NULL, paused_at = NULL WHERE name = $1")
        .bind(name)
        .execute(&mut *tx)
        .await?;
    // A sink without a position was paused by a version that allowed it: an event would name no partition.
    if let Some(change) = first_position(&mut tx, name).await? {
        let message = format!("delivers again; it was paused by {was}");
        Decision { change: &change, by, action: "ResumeSink", message, at }.announce(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(Some(was))
}

/// The first of the sink's positions, which events about the sink name.
async fn first_position(tx: &mut PgConnection, name: &str) -> sqlx::Result<Option<PositionChange>> {
    let stage = format!("sink.{name}");
    let places: Vec<(String, i32)> = sqlx::query_as(
        "SELECT topic, partition FROM stage_position WHERE stage = $1 AND topic <> $2 ORDER BY topic, partition",
    )
    .bind(&stage)
    .bind(Topic::AuditBackfill.name())
    .fetch_all(tx)
    .await?;
    let first = places
        .into_iter()
        .find_map(|(topic, partition)| Some(TopicPartition { topic: Topic::from_name(&topic)?, partition }));
    Ok(first.map(|partition| PositionChange { stage, partition }))
}

/// An operator, and the reason if one was given.
fn paused_for(by: String, why: Option<String>) -> String {
    match why.filter(|why| !why.is_empty()) {
        Some(why) => format!("{by}: {why}"),
        None => by,
    }
}

/// Operator who paused the sink and the reason, if it is paused.
pub(super) async fn paused(ledger: &mut Ledger, name: &str) -> Result<Option<String>, DeliveryError> {
    let mut writer = ledger.take_writer().await?;
    let asking = async {
        let row: Option<(String, Option<String>)> = sqlx::query_as(
            "SELECT paused_by, paused_why FROM siem_sink WHERE name = $1 AND paused_by IS NOT NULL",
        )
        .bind(name)
        .fetch_optional(&mut writer.connection)
        .await?;
        Ok::<_, Failure>(row)
    };
    let outcome = within(PATIENCE, asking).await;
    let row = ledger.finish(writer, outcome).await?;
    Ok(row.map(|(by, why)| paused_for(by, why)))
}

/// Stores the state of a sink.
pub(super) async fn report(
    ledger: &mut Ledger,
    name: &str,
    kind: &str,
    state: &State,
) -> Result<(), DeliveryError> {
    let mut writer = ledger.take_writer().await?;
    let (state, why) = state.told();
    let writing = async {
        sqlx::query(
            "INSERT INTO siem_sink (name, kind, state, why, state_since) VALUES ($1, $2, $3, $4, now())
             ON CONFLICT (name) DO UPDATE
                SET kind = excluded.kind, state = excluded.state, why = excluded.why,
                    state_since = CASE WHEN siem_sink.state = excluded.state THEN siem_sink.state_since
                                       ELSE excluded.state_since END",
        )
        .bind(name)
        .bind(kind)
        .bind(state)
        .bind(why.map(|why| why.replace('\0', " ")))
        .execute(&mut writer.connection)
        .await?;
        Ok::<_, Failure>(())
    };
    let outcome = within(PATIENCE, writing).await;
    ledger.finish(writer, outcome).await
}
