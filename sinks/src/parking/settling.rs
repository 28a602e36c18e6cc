//! Decisions about parked records: replay or discard. One person or script at a time.

use schemas::{Timestamp, Topic};
use sqlx::{Arguments, Connection, Executor, FromRow, PgConnection, PgPool};

use super::{
    MAX_REPLAYS, ParkedRecord,
    reading::{ParkedRow, Selection, Status, selected},
};
use crate::{
    batch::TopicPartition,
    positions::{Decision, Operator, PositionChange},
};

/// Most rows that one statement discards, so that none runs into its timeout.
const DISCARDED_AT_ONCE: i64 = 1_000;
/// SQLSTATE of a lock that was not available in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Exclusive right to settle parked records. It ends with its connection.
pub struct Settling {
    connection: PgConnection,
    /// Records parked later are another run's: a replayed record that fails again must not be replayed by the
    /// same run.
    before: Timestamp,
}

impl std::fmt::Debug for Settling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settling").field("before", &self.before).finish_non_exhaustive()
    }
}

/// Decision about parked records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution<'a> {
    /// They are replayed.
    Replay,
    /// They are discarded.
    Discard {
        /// Reason of the operator.
        reason: &'a str,
    },
}

impl Resolution<'_> {
    fn action(self) -> &'static str {
        match self {
            Self::Replay => "ReplayParkedRecords",
            Self::Discard { .. } => "DiscardParkedRecords",
        }
    }

    fn message(self, records: i64) -> String {
        let records =
            if records == 1 { "1 parked record".to_owned() } else { format!("{records} parked records") };
        match self {
            Self::Replay => format!("{records} to be replayed"),
            Self::Discard { reason } => format!("{records} to be discarded: {reason}"),
        }
    }
}

/// Place of a parked record in Kafka, whichever stages have parked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedPlace {
    /// The partition.
    pub partition: TopicPartition,
    /// The record's offset.
    pub offset: i64,
    /// Number of replays so far.
    pub replays: i16,
}

#[derive(FromRow)]
struct PlaceRow {
    topic: String,
    partition: i32,
    record_offset: i64,
    replays: i16,
}

impl Settling {
    /// Takes the right on a connection of an operators' pool; `None` if another connection keeps it for two
    /// seconds (the connection's `lock_timeout`). A connection that has just ended may still hold it for a
    /// moment.
    pub async fn begin(pool: &PgPool) -> sqlx::Result<Option<Self>> {
        let mut connection = pool.acquire().await?.detach();
        let lock = "SELECT pg_advisory_lock(hashtext('weir.dead-letter'), 0)";
        match connection.execute(lock).await {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) => {
                return Ok(None);
            }
            taken => taken?,
        };
        let before = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&mut connection).await?;
        Ok(Some(Self { connection, before }))
    }

    /// Places of selected records after `after`, in the order of the topics' logs. A record that several stages have
    /// parked is one place: publishing it reaches all of them.
    pub async fn places(
        &mut self,
        selection: &Selection,
        statuses: &[Status],
        (after, limit): (Option<&ParkedPlace>, u16),
    ) -> sqlx::Result<Vec<ParkedPlace>> {
        let mut arguments = selection.arguments(statuses)?;
        let mut add = || {
            arguments.add(self.before)?;
            arguments.add(after.map_or("", |place| place.partition.topic.name()))?;
            arguments.add(after.map_or(-1, |place| place.partition.partition))?;
            arguments.add(after.map_or(-1, |place| place.offset))?;
            arguments.add(i64::from(limit))
        };
        add().map_err(sqlx::Error::Encode)?;
        let sql = concat!(
            "SELECT topic, partition, record_offset, max(replays) AS replays FROM parked_record WHERE ",
            selected!(),
            " AND parked_at <= $9 AND (topic, partition, record_offset) > ($10, $11, $12)
              GROUP BY topic, partition, record_offset ORDER BY topic, partition, record_offset LIMIT $13"
        );
        let rows: Vec<PlaceRow> = sqlx::query_as_with(sql, arguments).fetch_all(&mut self.connection).await?;
        rows.into_iter().map(PlaceRow::into_place).collect()
    }

    /// Number of selected records.
    pub async fn count(&mut self, selection: &Selection, statuses: &[Status]) -> sqlx::Result<u64> {
        let mut arguments = selection.arguments(statuses)?;
        arguments.add(self.before).map_err(sqlx::Error::Encode)?;
        let sql = concat!("SELECT count(*) FROM parked_record WHERE ", selected!(), " AND parked_at <= $9");
        let count: i64 = sqlx::query_scalar_with(sql, arguments).fetch_one(&mut self.connection).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Leaves an event about the decision on the selected records, one for each stage's partition that has
    /// some. It precedes the first change, so that no crash hides the operator.
    pub async fn announce(
        &mut self,
        (selection, statuses): (&Selection, &[Status]),
        resolution: Resolution<'_>,
        by: &Operator,
    ) -> sqlx::Result<()> {
        let mut arguments = selection.arguments(statuses)?;
        arguments.add(self.before).map_err(sqlx::Error::Encode)?;
        let sql = concat!(
            "SELECT stage, topic, partition, count(*), now()
               FROM parked_record JOIN stage_position USING (stage, topic, partition) WHERE ",
            selected!(),
            " AND parked_at <= $9 GROUP BY stage, topic, partition ORDER BY stage, topic, partition"
        );
        let mut tx = self.connection.begin().await?;
        let partitions: Vec<(String, String, i32, i64, Timestamp)> =
            sqlx::query_as_with(sql, arguments).fetch_all(&mut *tx).await?;
        for (stage, topic, partition, records, at) in partitions {
            let change = PositionChange { stage, partition: partition_of(&topic, partition)? };
            let (action, message) = (resolution.action(), resolution.message(records));
            Decision { change: &change, by, action, message, at }.announce(&mut tx).await?;
        }
        tx.commit().await
    }

    /// The record at a place with its bytes; `None` if it has gone.
    pub async fn record(&mut self, place: &ParkedPlace) -> sqlx::Result<Option<ParkedRecord>> {
        let row: Option<ParkedRow> = sqlx::query_as(
            "SELECT stage, topic, partition, record_offset, recorded_at, tenant_id, event_id, value_size, reason, detail,
                    parked_at, status, replays, settled_by, settled_at, settled_reason, key, value, value_sha256, headers
               FROM parked_record WHERE topic = $1 AND partition = $2 AND record_offset = $3 ORDER BY stage LIMIT 1",
        )
        .bind(place.partition.topic.name())
        .bind(place.partition.partition)
        .bind(place.offset)
        .fetch_optional(&mut self.connection)
        .await?;
        row.map(ParkedRow::into_record).transpose()
    }

    /// Marks the record as replayed, for every stage that has parked it and not discarded it. To be called
    /// once the broker has acknowledged it: a crash in between costs one more replay, which changes nothing.
    pub async fn replayed(&mut self, place: &ParkedPlace, by: &str) -> sqlx::Result<()> {
        sqlx::query(
            "WITH was AS (
               SELECT stage, status FROM parked_record
                WHERE topic = $1 AND partition = $2 AND record_offset = $3 AND status <> 'discarded'
                ORDER BY stage FOR UPDATE),
             settled AS (
               UPDATE parked_record AS p
                  SET status = 'replayed', replays = $4, settled_by = $5, settled_at = now(), settled_reason = NULL
                 FROM was
                WHERE p.stage = was.stage AND p.topic = $1 AND p.partition = $2 AND p.record_offset = $3
               RETURNING p.stage, was.status)
             UPDATE stage_position AS s SET replayed = s.replayed + 1
               FROM settled
              WHERE settled.status = 'parked' AND s.stage = settled.stage AND s.topic = $1 AND s.partition = $2",
        )
        .bind(place.partition.topic.name())
        .bind(place.partition.partition)
        .bind(place.offset)
        .bind((place.replays + 1).min(MAX_REPLAYS))
        .bind(by)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Discards some of the selected waiting records, and returns their number; 0 once none is left. Call it
    /// again until then: each call is whole or has not happened.
    pub async fn discard(&mut self, selection: &Selection, (by, reason): (&str, &str)) -> sqlx::Result<u64> {
        let mut arguments = selection.arguments(&[Status::Parked])?;
        let mut add = || {
            arguments.add(self.before)?;
            arguments.add(DISCARDED_AT_ONCE)?;
            arguments.add(by)?;
            arguments.add(reason)
        };
        add().map_err(sqlx::Error::Encode)?;
        let sql = concat!(
            "WITH chosen AS (
               SELECT stage, topic, partition, record_offset FROM parked_record WHERE ",
            selected!(),
            " AND parked_at <= $9 ORDER BY stage, topic, partition, record_offset LIMIT $10 FOR UPDATE),
             settled AS (
               UPDATE parked_record AS p
                  SET status = 'discarded', settled_by = $11, settled_at = now(), settled_reason = left($12, 2048)
                 FROM chosen AS c
                WHERE p.stage = c.stage AND p.topic = c.topic AND p.partition = c.partition
                  AND p.record_offset = c.record_offset
               RETURNING p.stage, p.topic, p.partition),
             counted AS (
               UPDATE stage_position AS s SET discarded = s.discarded + n
                 FROM (SELECT stage, topic, partition, count(*) AS n FROM settled GROUP BY 1, 2, 3) AS d
                WHERE s.stage = d.stage AND s.topic = d.topic AND s.partition = d.partition)
             SELECT count(*) FROM settled"
        );
        let discarded: i64 = sqlx::query_scalar_with(sql, arguments).fetch_one(&mut self.connection).await?;
        Ok(u64::try_from(discarded).unwrap_or(0))
    }
}

impl PlaceRow {
    fn into_place(self) -> sqlx::Result<ParkedPlace> {
        let partition = partition_of(&self.topic, self.partition)?;
        Ok(ParkedPlace { partition, offset: self.record_offset, replays: self.replays })
    }
}

fn partition_of(topic: &str, partition: i32) -> sqlx::Result<TopicPartition> {
    let topic = Topic::from_name(topic)
        .ok_or_else(|| sqlx::Error::Decode(format!("unknown topic {topic}").into()))?;
    Ok(TopicPartition { topic, partition })
}
