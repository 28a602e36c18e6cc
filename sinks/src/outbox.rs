//! The outbox: records that must leave again through Kafka, written in the transaction that moves the position.
//!
//! They are numbered per partition under the lock of its position's row, which is held to the commit: so a later
//! number never becomes visible before an earlier one, and whoever reads in the order of numbers misses none.

use schemas::{Timestamp, Topic};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use crate::{
    batch::TopicPartition,
    headers::{self, Headers},
    postgres::{SinkConfig, connect_writer},
};

/// How many bytes one read takes at most, so that a full outbox does not fill the memory.
const MAX_READ_BYTES: i64 = 8 * 1024 * 1024;

/// A record for another topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The partition whose record caused it; it is numbered there.
    pub from: TopicPartition,
    /// Where it goes.
    pub to: Topic,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Headers,
}

/// A record that waits in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRecord {
    /// Its number within the partition that caused it.
    pub number: i64,
    /// The record.
    pub outgoing: Outgoing,
    /// When its transaction began.
    pub created_at: Timestamp,
}

/// Reads a stage's outbox in order. One relay per stage works at a time; others wait for it to go.
pub struct Relay {
    config: SinkConfig,
    /// Holds the stage's advisory lock.
    connection: Option<PgConnection>,
}

impl Relay {
    /// A relay for the stage of that configuration; connects when it is first used.
    pub fn new(config: SinkConfig) -> Self {
        Self { config, connection: None }
    }

    /// The next records, at most `limit`, in the order of their numbers per partition; the same ones again until they
    /// are acknowledged. Empty as well while another relay of this stage is at work. After an error, call again.
    pub async fn next(&mut self, limit: u32) -> sqlx::Result<Vec<OutboxRecord>> {
        let Some(mut connection) = self.locked().await? else { return Ok(Vec::new()) };
        let rows: Vec<OutboxRow> = sqlx::query_as(
            "SELECT topic, partition, number, to_topic, key, value, headers, created_at
               FROM (SELECT *, row_number() OVER w AS nth,
                            sum(coalesce(length(key), 0) + coalesce(length(value), 0) + pg_column_size(headers))
                              OVER w AS bytes
                       FROM (SELECT * FROM outbox WHERE stage = $1 ORDER BY topic, partition, number LIMIT $2) AS o
                     WINDOW w AS (ORDER BY topic, partition, number)) AS o
              WHERE nth = 1 OR bytes <= $3 ORDER BY topic, partition, number",
        )
        .bind(&self.config.stage)
        .bind(i64::from(limit))
        .bind(MAX_READ_BYTES)
        .fetch_all(&mut connection)
        .await?;
        // Put back only after the answer: a connection whose call was dropped half-way is closed.
        self.connection = Some(connection);
        rows.into_iter().map(OutboxRow::into_record).collect()
    }

    /// Removes records that their topic has acknowledged.
    pub async fn acknowledge(&mut self, records: &[OutboxRecord]) -> sqlx::Result<()> {
        let Some(mut connection) = self.locked().await? else { return Ok(()) };
        let topics: Vec<&str> = records.iter().map(|r| r.outgoing.from.topic.name()).collect();
        let partitions: Vec<i32> = records.iter().map(|r| r.outgoing.from.partition).collect();
        let numbers: Vec<i64> = records.iter().map(|r| r.number).collect();
        sqlx::query(
            "DELETE FROM outbox AS o USING unnest($2::text[], $3::int[], $4::bigint[]) AS a(topic, partition, number)
              WHERE o.stage = $1 AND o.topic = a.topic AND o.partition = a.partition AND o.number = a.number",
        )
        .bind(&self.config.stage)
        .bind(topics)
        .bind(partitions)
        .bind(numbers)
        .execute(&mut connection)
        .await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// The connection that holds the lock; `None` while another relay holds it.
    async fn locked(&mut self) -> sqlx::Result<Option<PgConnection>> {
        if let Some(connection) = self.connection.take() {
            return Ok(Some(connection));
        }
        let mut connection = connect_writer(&self.config).await?;
        let locked: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtext('weir.outbox'), hashtext($1))")
                .bind(&self.config.stage)
                .fetch_one(&mut connection)
                .await?;
        Ok(locked.then_some(connection))
    }
}

#[derive(FromRow)]
struct OutboxRow {
    topic: String,
    partition: i32,
    number: i64,
    to_topic: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Value,
    created_at: Timestamp,
}

impl OutboxRow {
    fn into_record(self) -> sqlx::Result<OutboxRecord> {
        let topic = |name: &str| {
            Topic::from_name(name).ok_or_else(|| sqlx::Error::Decode(format!("unknown topic {name}").into()))
        };
        let headers = headers::from_json(&self.headers)
            .ok_or_else(|| sqlx::Error::Decode("headers of an outbox row are malformed".into()))?;
        let from = TopicPartition { topic: topic(&self.topic)?, partition: self.partition };
        let to = topic(&self.to_topic)?;
        let outgoing = Outgoing { from, to, key: self.key, value: self.value, headers };
        Ok(OutboxRecord { number: self.number, outgoing, created_at: self.created_at })
    }
}

/// Writes records under the numbers that their partitions' rows gave; called inside the transaction.
pub(crate) async fn write(
    tx: &mut PgConnection,
    stage: &str,
    records: &[(i64, Outgoing)],
) -> sqlx::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO outbox (stage, topic, partition, number, to_topic, key, value, headers)
         SELECT $1, a.* FROM unnest($2::text[], $3::int[], $4::bigint[], $5::text[], $6::bytea[], $7::bytea[],
                $8::jsonb[]) AS a",
    )
    .bind(stage)
    .bind(records.iter().map(|(_, r)| r.from.topic.name()).collect::<Vec<_>>())
    .bind(records.iter().map(|(_, r)| r.from.partition).collect::<Vec<_>>())
    .bind(records.iter().map(|(number, _)| *number).collect::<Vec<_>>())
    .bind(records.iter().map(|(_, r)| r.to.name()).collect::<Vec<_>>())
    .bind(records.iter().map(|(_, r)| r.key.as_deref()).collect::<Vec<_>>())
    .bind(records.iter().map(|(_, r)| r.value.as_deref()).collect::<Vec<_>>())
    .bind(records.iter().map(|(_, r)| headers::to_json(&r.headers)).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}
