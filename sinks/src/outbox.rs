//! The outbox: records that must leave again through Kafka, written in the transaction that moves the position.
//!
//! They are numbered per partition under the lock of its position's row, which is held to the commit: so a
//! later number never becomes visible before an earlier one, and a reader in the order of numbers misses
//! none.
//!
//! Records that go to one topic are a line. Lines are relayed separately, so that a topic that accepts no
//! records does not delay others.

use std::time::Duration;

use chrono::SecondsFormat;
use schemas::{EventId, TenantId, Timestamp, Topic, text::one_line};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use crate::{
    batch::TopicPartition,
    headers::{self, Headers},
    session::{SinkConfig, connect_writer},
};

/// Topics that records leave for. Stages may write to them on Kafka, and to no topic of events: those go by way of
/// [`crate::event_outbox`].
pub const DESTINATIONS: [Topic; 2] = [Topic::Findings, Topic::DeadLetter];
/// Most bytes of one read, so that a full outbox does not fill the memory.
const MAX_READ_BYTES: i64 = 8 * 1024 * 1024;
/// Longer reasons for setting a record aside are cut.
const MAX_WHY_CHARS: usize = 2_048;
/// Records that are taken up again at a time.
const MAX_TAKEN_UP: i64 = 100;

/// A record for another topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The partition whose record caused it; it is numbered there.
    pub from: TopicPartition,
    /// Topic that it is published to, one of [`DESTINATIONS`].
    pub to: Topic,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Headers,
}

/// A finding as it is published on `weir.findings.v1`.
#[derive(Debug)]
pub(crate) struct PublishedFinding<'a> {
    pub(crate) tenant: &'a TenantId,
    /// The entity, resource or budget: findings about one follow each other in a partition.
    pub(crate) about: &'a str,
    pub(crate) id: EventId,
    pub(crate) ce_source: &'static str,
    pub(crate) ce_type: &'static str,
    pub(crate) ce_subject: &'a str,
    pub(crate) time: Timestamp,
    /// The OCSF record, a JSON object.
    pub(crate) record: String,
}

impl PublishedFinding<'_> {
    /// The finding as a record in `CloudEvents` binary mode, caused by a record of that partition.
    pub(crate) fn caused_by(self, from: TopicPartition) -> Outgoing {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        Outgoing {
            from,
            to: Topic::Findings,
            key: Some(format!("{}/{}", self.tenant.as_str(), self.about).into_bytes()),
            headers: vec![
                header("ce_specversion", "1.0"),
                header("ce_id", &self.id.to_string()),
                header("ce_source", self.ce_source),
                header("ce_type", self.ce_type),
                header("ce_time", &self.time.to_rfc3339_opts(SecondsFormat::Micros, true)),
                header("ce_tenantid", self.tenant.as_str()),
                header("ce_subject", self.ce_subject),
                header("content-type", "application/json"),
            ],
            value: Some(self.record.into_bytes()),
        }
    }
}

/// A record that waits in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRecord {
    /// Its number within the partition that caused it.
    pub number: i64,
    /// The record.
    pub outgoing: Outgoing,
    /// Time at which its transaction began.
    pub created_at: Timestamp,
}

/// The records of a stage that wait for one topic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// The topic that they go to.
    pub to: Topic,
    /// Age of the oldest record, in seconds; those that are set aside count.
    pub oldest_seconds: f64,
    /// Whether a record waits that is not set aside.
    pub is_due: bool,
    /// Records that are set aside.
    pub set_aside: i64,
}

/// Reads a stage's outbox, line by line and each in order. One relay per stage works at a time; others wait
/// for it to end.
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

    /// The topics that records wait for. Empty as well while another relay of this stage is at work. After an error, call
    /// again.
    pub async fn lines(&mut self) -> sqlx::Result<Vec<Line>> {
        let Some(mut connection) = self.locked().await? else { return Ok(Vec::new()) };
        let rows: Vec<(String, f64, bool, i64)> = sqlx::query_as(
            "SELECT t.to_topic, coalesce(extract(epoch FROM now() - least(due.at, aside.at)), 0)::double precision,
                    due.at IS NOT NULL, aside.n
               FROM unnest($2::text[]) AS t(to_topic)
              CROSS JOIN LATERAL (
                    SELECT min(head.created_at) AS at
                      FROM stage_position AS p
                     CROSS JOIN LATERAL (
                           SELECT created_at FROM outbox AS o
                            WHERE o.stage = $1 AND o.to_topic = t.to_topic AND o.topic = p.topic
                              AND o.partition = p.partition AND o.set_aside_at IS NULL
                            ORDER BY number LIMIT 1) AS head
                     WHERE p.stage = $1) AS due
              CROSS JOIN LATERAL (
                    SELECT min(created_at) AS at, count(*) AS n FROM outbox AS o
                     WHERE o.stage = $1 AND o.set_aside_at IS NOT NULL AND o.to_topic = t.to_topic) AS aside
              WHERE due.at IS NOT NULL OR aside.n > 0",
        )
        .bind(&self.config.stage)
        .bind(Topic::ALL.map(Topic::name).as_slice())
        .fetch_all(&mut connection)
        .await?;
        // Put back only after the answer: a connection whose call was dropped half-way is closed.
        self.connection = Some(connection);
        let line = |(to, oldest_seconds, is_due, set_aside): (String, f64, bool, i64)| {
            Ok(Line { to: topic_of(&to)?, oldest_seconds, is_due, set_aside })
        };
        rows.into_iter().map(line).collect()
    }

    /// The next records of a line, at most `limit`, in the order of their numbers per partition; the same ones again until
    /// they are acknowledged or set aside. Every partition has its turn.
    pub async fn next(&mut self, to: Topic, limit: u32) -> sqlx::Result<Vec<OutboxRecord>> {
        let Some(mut connection) = self.locked().await? else { return Ok(Vec::new()) };
        let rows: Vec<OutboxRow> = sqlx::query_as(
            "SELECT topic, partition, number, to_topic, key, value, headers, created_at
               FROM (SELECT head.*, row_number() OVER w AS nth, sum(head.size) OVER w AS bytes
                       FROM stage_position AS p
                      CROSS JOIN LATERAL (
                            SELECT o.*, row_number() OVER (ORDER BY o.number) AS turn,
                                   coalesce(length(o.key), 0) + coalesce(length(o.value), 0)
                                     + pg_column_size(o.headers) AS size
                              FROM (SELECT * FROM outbox
                                     WHERE stage = $1 AND to_topic = $2 AND topic = p.topic
                                       AND partition = p.partition AND set_aside_at IS NULL
                                     ORDER BY number LIMIT $3) AS o) AS head
                      WHERE p.stage = $1
                     WINDOW w AS (ORDER BY head.turn, head.topic, head.partition)) AS o
              WHERE nth = 1 OR (nth <= $3 AND bytes <= $4) ORDER BY topic, partition, number",
        )
        .bind(&self.config.stage)
        .bind(to.name())
        .bind(i64::from(limit))
        .bind(MAX_READ_BYTES)
        .fetch_all(&mut connection)
        .await?;
        self.connection = Some(connection);
        rows.into_iter().map(OutboxRow::into_record).collect()
    }

    /// Removes records that their topic has acknowledged.
    pub async fn acknowledge(&mut self, records: &[&OutboxRecord]) -> sqlx::Result<()> {
        let Some(mut connection) = self.locked().await? else { return Ok(()) };
        sqlx::query(
            "DELETE FROM outbox AS o USING unnest($2::text[], $3::int[], $4::bigint[]) AS a(topic, partition, number)
              WHERE o.stage = $1 AND o.topic = a.topic AND o.partition = a.partition AND o.number = a.number",
        )
        .bind(&self.config.stage)
        .bind(records.iter().map(|r| r.outgoing.from.topic.name()).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.outgoing.from.partition).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.number).collect::<Vec<_>>())
        .execute(&mut connection)
        .await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Sets a record aside, so that its line continues without it, and stores the reason.
    pub async fn set_aside(&mut self, record: &OutboxRecord, why: &str) -> sqlx::Result<()> {
        let Some(mut connection) = self.locked().await? else { return Ok(()) };
        sqlx::query(
            "UPDATE outbox SET set_aside_at = now(), set_aside_for = $5
              WHERE stage = $1 AND topic = $2 AND partition = $3 AND number = $4",
        )
        .bind(&self.config.stage)
        .bind(record.outgoing.from.topic.name())
        .bind(record.outgoing.from.partition)
        .bind(record.number)
        .bind(one_line(why, MAX_WHY_CHARS))
        .execute(&mut connection)
        .await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Puts some records back into their lines that have been set aside for at least `after`; returns their
    /// number.
    pub async fn take_up(&mut self, after: Duration) -> sqlx::Result<u64> {
        let Some(mut connection) = self.locked().await? else { return Ok(0) };
        let done = sqlx::query(
            "UPDATE outbox AS o SET set_aside_at = NULL, set_aside_for = NULL
               FROM (SELECT topic, partition, number FROM outbox
                      WHERE stage = $1 AND set_aside_at <= now() - make_interval(secs => $2)
                      ORDER BY set_aside_at LIMIT $3) AS a
              WHERE o.stage = $1 AND o.topic = a.topic AND o.partition = a.partition AND o.number = a.number",
        )
        .bind(&self.config.stage)
        .bind(after.as_secs_f64())
        .bind(MAX_TAKEN_UP)
        .execute(&mut connection)
        .await?;
        self.connection = Some(connection);
        Ok(done.rows_affected())
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

fn topic_of(name: &str) -> sqlx::Result<Topic> {
    Topic::from_name(name).ok_or_else(|| sqlx::Error::Decode(format!("unknown topic {name}").into()))
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
        let headers = headers::from_json(&self.headers)
            .ok_or_else(|| sqlx::Error::Decode("headers of an outbox row are malformed".into()))?;
        let from = TopicPartition { topic: topic_of(&self.topic)?, partition: self.partition };
        let to = topic_of(&self.to_topic)?;
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
    let known = records.iter().all(|(_, record)| DESTINATIONS.contains(&record.to));
    assert!(known, "stages may write to every topic that a record of theirs leaves for");
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
