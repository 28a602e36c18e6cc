//! State of sinks, and operators' decisions about them: the table `siem_sink`.

use schemas::Timestamp;
use sqlx::{FromRow, PgExecutor, PgPool};

use crate::{
    delivery::DeliveryError,
    ledger::{Ledger, within},
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

/// Pauses a sink until it is resumed. Its position stays.
pub async fn pause(pool: &PgPool, name: &str, by: &str, why: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO siem_sink (name, paused_by, paused_why, paused_at) VALUES ($1, $2, $3, now())
         ON CONFLICT (name) DO UPDATE
            SET paused_by = excluded.paused_by, paused_why = excluded.paused_why, paused_at = excluded.paused_at",
    )
    .bind(name)
    .bind(by)
    .bind(why)
    .execute(pool)
    .await
    .map(drop)
}

/// Lifts a pause; returns whether there was one.
pub async fn resume(pool: &PgPool, name: &str) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE siem_sink SET paused_by = NULL, paused_why = NULL, paused_at = NULL
          WHERE name = $1 AND paused_by IS NOT NULL",
    )
    .bind(name)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
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
    Ok(row
        .map(|(by, why)| why.filter(|why| !why.is_empty()).map_or(by.clone(), |why| format!("{by}: {why}"))))
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
