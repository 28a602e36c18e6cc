//! Operators' requests for entries that a sink has not passed and that the audit topic may not hold any more: the table
//! `siem_backfill`. A process that runs the stage audit brings them to the sink.

use schemas::{Timestamp, Topic};
use sqlx::{FromRow, PgConnection, PgPool};

use crate::{
    batch::TopicPartition,
    log_store::audit_partition,
    positions::{Decision, Operator, PositionChange},
};

/// Days for which a backfill is kept in the table after its end.
const KEPT_DAYS: i32 = 30;

/// Extent of a backfill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Logs that it reads.
    pub logs: usize,
    /// Places in these logs: as many entries, less those that retention has taken.
    pub entries: i64,
    /// Places of earlier backfills of the sink that are still to be written.
    pub under_way: i64,
}

/// Error of asking for a backfill.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The sink has no position.
    #[error(
        "the sink has never run: begin with `weir run sinks`, so that it is known what it gets by itself"
    )]
    NeverRan,
    /// The sink has not read the newest records yet.
    #[error(
        "the sink has yet to read what weir.audit.v1 holds of {}: ask again when `weir sink list` shows no lag", .0.join(", ")
    )]
    Behind(Vec<String>),
    /// Postgres refused or does not answer.
    #[error("the database refused or is unreachable")]
    Database(#[from] sqlx::Error),
}

/// A log, as far as it was written to the audit topic, and what the sink has passed of it.
#[derive(FromRow)]
struct Relayed {
    log: String,
    /// Entries that are, or were, in the topic.
    next_index: i64,
    /// The offset behind them.
    next_offset: i64,
    /// The index behind the last entry that the sink has passed.
    passed: Option<i64>,
}

const LOGS: &str = "
    SELECT p.log, p.next_index, p.next_offset,
           (SELECT max(upper(s.passed)) FROM siem_stretch AS s WHERE s.sink = $1 AND s.log = p.log) AS passed
      FROM audit_topic_position AS p ORDER BY p.log";
/// Stores the ranges that are asked for, less the entries that the sink has passed, and those of an earlier backfill that are
/// still to come to it. A log's entries since an instant begin where the last checkpoint before it ends.
const ASK: &str = "
    INSERT INTO siem_backfill (sink, log, from_index, until_index, next_index, asked_by)
    SELECT $1, $2, lower(r), upper(r), lower(r), $5
      FROM (SELECT coalesce(max(c.size), 0) AS first FROM audit_checkpoint AS c
             WHERE c.log = $2 AND c.signed_at <= $4) AS c
     CROSS JOIN LATERAL unnest(
             int8multirange(int8range(least(c.first, $3), $3))
             - coalesce((SELECT range_agg(passed) FROM siem_stretch AS s WHERE s.sink = $1 AND s.log = $2), '{}')
             - coalesce((SELECT range_agg(int8range(b.from_index, b.until_index)) FROM siem_backfill AS b
                          WHERE b.sink = $1 AND b.log = $2
                            AND (b.next_index < b.until_index OR b.next_offset > $6)), '{}')) AS r
    RETURNING until_index - from_index";
const UNDER_WAY: &str =
    "SELECT coalesce(sum(until_index - next_index), 0)::bigint FROM siem_backfill WHERE sink = $1";
const FORGOTTEN: &str = "
    DELETE FROM siem_backfill
     WHERE next_index = until_index AND noted_at < now() - make_interval(days => $1)";

/// Asks for the entries of all logs that arrived since an instant, or of all, and that the sink has not passed and will not
/// come to by itself. Leaves an event about it, if there are any.
pub async fn ask(
    pool: &PgPool,
    sink: &str,
    since: Option<Timestamp>,
    by: &Operator,
) -> Result<Asked, BackfillError> {
    let mut tx = pool.begin().await?;
    // One request at a time: each is told what the others ask for.
    sqlx::query("LOCK TABLE siem_backfill IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
    sqlx::query(FORGOTTEN).bind(KEPT_DAYS).execute(&mut *tx).await?;
    let stage = format!("sink.{sink}");
    let positions = positions(&mut tx, &stage, Topic::Audit).await?;
    let Some((first, _)) = positions.first() else { return Err(BackfillError::NeverRan) };
    let change = PositionChange {
        stage: stage.clone(),
        partition: TopicPartition { topic: Topic::Audit, partition: *first },
    };
    let read_back = positions_of_backfills(&mut tx, &stage).await?;
    let mut asked = Asked { under_way: under_way(&mut tx, sink).await?, ..Asked::default() };
    let mut behind = Vec::new();
    let logs: Vec<Relayed> = sqlx::query_as(LOGS).bind(sink).fetch_all(&mut *tx).await?;
    for log in logs {
        let Some(until) = end(&log, &positions) else {
            behind.push(log.log);
            continue;
        };
        let places: Vec<i64> = sqlx::query_scalar(ASK)
            .bind(sink)
            .bind(&log.log)
            .bind(until)
            .bind(since)
            .bind(&by.name)
            .bind(read_back)
            .fetch_all(&mut *tx)
            .await?;
        asked.logs += usize::from(!places.is_empty());
        asked.entries += places.into_iter().sum::<i64>();
    }
    if !behind.is_empty() {
        return Err(BackfillError::Behind(behind));
    }
    if asked.entries > 0 {
        let at: Timestamp = sqlx::query_scalar("SELECT now()").fetch_one(&mut *tx).await?;
        let message = format!("asks for {} entries of {} logs from the table", asked.entries, asked.logs);
        Decision { change: &change, by, action: "BackfillSink", message, at }.announce(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(asked)
}

/// The index behind the last entry that the sink will not come to by itself; `None` while that is unknown.
fn end(log: &Relayed, positions: &[(i32, i64)]) -> Option<i64> {
    let partitions = i32::try_from(positions.len()).unwrap_or(i32::MAX);
    let own = audit_partition(&log.log, partitions);
    let position = positions.iter().find(|(partition, _)| *partition == own).map(|(_, position)| *position);
    match position {
        Some(position) if position >= log.next_offset => Some(log.next_index),
        _ => log.passed,
    }
}

/// Partitions of a topic, and the stage's positions in them.
async fn positions(tx: &mut PgConnection, stage: &str, topic: Topic) -> sqlx::Result<Vec<(i32, i64)>> {
    sqlx::query_as(
        "SELECT partition, position FROM stage_position WHERE stage = $1 AND topic = $2 ORDER BY partition",
    )
    .bind(stage)
    .bind(topic.name())
    .fetch_all(tx)
    .await
}

/// The offset up to which a sink has read backfills.
async fn positions_of_backfills(tx: &mut PgConnection, stage: &str) -> sqlx::Result<i64> {
    let positions = positions(tx, stage, Topic::AuditBackfill).await?;
    Ok(positions.into_iter().map(|(_, position)| position).min().unwrap_or(0))
}

/// Places of a sink's backfills that are still to be written.
async fn under_way(tx: &mut PgConnection, sink: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(UNDER_WAY).bind(sink).fetch_one(tx).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backfill_ends_where_the_sink_goes_on_by_itself() {
        let log = |next_offset, passed| Relayed {
            log: "weir.activity.v1/0".into(),
            next_index: 40,
            next_offset,
            passed,
        };
        let at = |position| [(0, position)];
        assert_eq!(end(&log(7, None), &at(7)), Some(40), "it has read all that was written and passed none");
        assert_eq!(
            end(&log(7, Some(30)), &at(7)),
            Some(40),
            "what lies behind 30 was not among what it read"
        );
        assert_eq!(end(&log(7, Some(30)), &at(6)), Some(30), "it will come to what follows");
        assert_eq!(end(&log(7, None), &at(6)), None, "nobody knows with which entry it will begin");
        assert_eq!(end(&log(7, None), &[]), None);
    }
}
