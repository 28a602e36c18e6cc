//! Parked records as operators see them: those of all tenants.

use schemas::{ParkReason, Timestamp, Topic};
use serde_json::Value;
use sqlx::{Arguments, FromRow, PgPool, error::BoxDynError, postgres::PgArguments};
use uuid::Uuid;

use crate::{
    batch::TopicPartition,
    headers::{self, Headers},
};

/// Decision about a parked record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No decision yet.
    Parked,
    /// It was replayed.
    Replayed,
    /// It was discarded.
    Discarded,
}

impl Status {
    /// The status in `parked_record`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

/// Filter on parked records; `None` matches every record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The stage that parked them.
    pub stage: Option<String>,
    /// The topic.
    pub topic: Option<Topic>,
    /// The partition.
    pub partition: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// Reason for parking.
    pub reason: Option<ParkReason>,
    /// Tenant of the event, where the envelope could be read.
    pub tenant: Option<String>,
    /// Parked at this time or later.
    pub since: Option<Timestamp>,
}

/// The condition of a [`Selection`]: parameters 1 to 7, then the statuses.
macro_rules! selected {
    () => {
        "($1::text IS NULL OR stage = $1) AND ($2::text IS NULL OR topic = $2)
         AND ($3::int IS NULL OR partition = $3) AND ($4::bigint IS NULL OR record_offset = $4)
         AND ($5::text IS NULL OR reason = $5) AND ($6::text IS NULL OR tenant_id = $6)
         AND ($7::timestamptz IS NULL OR parked_at >= $7) AND status = ANY($8::text[])"
    };
}
pub(super) use selected;

impl Selection {
    /// The parameters of `selected!`.
    pub(super) fn arguments(&self, statuses: &[Status]) -> sqlx::Result<PgArguments> {
        let mut arguments = PgArguments::default();
        let mut add = || -> Result<(), BoxDynError> {
            arguments.add(self.stage.as_deref())?;
            arguments.add(self.topic.map(Topic::name))?;
            arguments.add(self.partition)?;
            arguments.add(self.offset)?;
            arguments.add(self.reason.map(ParkReason::name))?;
            arguments.add(self.tenant.as_deref())?;
            arguments.add(self.since)?;
            arguments.add(statuses.iter().map(|status| status.name()).collect::<Vec<_>>())
        };
        add().map_err(sqlx::Error::Encode)?;
        Ok(arguments)
    }
}

/// A parked record, with its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedRecord {
    /// Summary of the record, without its bytes.
    pub summary: ParkedSummary,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` for a tombstone, above 1 MiB, and for records of a tenant that is far over its limit.
    pub value: Option<Vec<u8>>,
    /// SHA-256 of the value, kept or not.
    pub value_sha256: Vec<u8>,
    /// Its headers; none where a tenant is far over its limit.
    pub headers: Headers,
}

/// A parked record, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ParkedSummary {
    /// The stage that could not apply it.
    pub stage: String,
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    pub record_offset: i64,
    /// Kafka's timestamp, if the record had one.
    pub recorded_at: Option<Timestamp>,
    /// Tenant of the event, where the envelope could be read.
    pub tenant_id: Option<String>,
    /// The event's id, where it could be read.
    pub event_id: Option<Uuid>,
    /// Size of the value in bytes.
    pub value_size: i64,
    /// Class of the reason.
    pub reason: String,
    /// Description of the reason in one sentence, without payload.
    pub detail: String,
    /// Time of parking.
    pub parked_at: Timestamp,
    /// `parked`, `replayed` or `discarded`.
    pub status: String,
    /// Number of replays, including those of the record that it is a replay of.
    pub replays: i16,
    /// Operator who replayed or discarded it.
    pub settled_by: Option<String>,
    /// Time of that decision.
    pub settled_at: Option<Timestamp>,
    /// Reason for which it was discarded.
    pub settled_reason: Option<String>,
}

impl ParkedRecord {
    /// Whether the record had a value that was not kept: too long, or its tenant's records were too many.
    pub fn value_was_left_out(&self) -> bool {
        self.value.is_none() && self.summary.value_size > 0
    }

    /// Whether the topic may hold more of the record than was kept. Without a value and without headers nothing
    /// tells a reference, which keeps no headers, from a record that had none.
    pub fn may_lack_bytes(&self) -> bool {
        self.value_was_left_out() || (self.summary.value_size == 0 && self.headers.is_empty())
    }
}

/// A record's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKey {
    /// The stage.
    pub stage: String,
    /// Place of the record in Kafka.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: i64,
}

/// Parked records of all tenants, last parked first. For operators' connections.
pub async fn list(
    pool: &PgPool,
    selection: &Selection,
    (statuses, limit): (&[Status], u16),
) -> sqlx::Result<Vec<ParkedSummary>> {
    let mut arguments = selection.arguments(statuses)?;
    arguments.add(i64::from(limit)).map_err(sqlx::Error::Encode)?;
    let sql = concat!(
        "SELECT stage, topic, partition, record_offset, recorded_at, tenant_id, event_id, value_size, reason, detail,
                parked_at, status, replays, settled_by, settled_at, settled_reason
           FROM parked_record WHERE ",
        selected!(),
        " ORDER BY parked_at DESC, stage, topic, partition, record_offset LIMIT $9"
    );
    sqlx::query_as_with(sql, arguments).fetch_all(pool).await
}

/// One parked record with its bytes. For operators' connections.
pub async fn show(pool: &PgPool, key: &ParkedKey) -> sqlx::Result<Option<ParkedRecord>> {
    let row: Option<ParkedRow> = sqlx::query_as(
        "SELECT stage, topic, partition, record_offset, recorded_at, tenant_id, event_id, value_size, reason, detail,
                parked_at, status, replays, settled_by, settled_at, settled_reason, key, value, value_sha256, headers
           FROM parked_record WHERE stage = $1 AND topic = $2 AND partition = $3 AND record_offset = $4",
    )
    .bind(&key.stage)
    .bind(key.partition.topic.name())
    .bind(key.partition.partition)
    .bind(key.offset)
    .fetch_optional(pool)
    .await?;
    row.map(ParkedRow::into_record).transpose()
}

#[derive(FromRow)]
pub(super) struct ParkedRow {
    #[sqlx(flatten)]
    summary: ParkedSummary,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    value_sha256: Vec<u8>,
    headers: Value,
}

impl ParkedRow {
    pub(super) fn into_record(self) -> sqlx::Result<ParkedRecord> {
        let headers = headers::from_json(&self.headers)
            .ok_or_else(|| sqlx::Error::Decode("headers of a parked record are malformed".into()))?;
        let Self { summary, key, value, value_sha256, .. } = self;
        Ok(ParkedRecord { summary, key, value, value_sha256, headers })
    }
}
