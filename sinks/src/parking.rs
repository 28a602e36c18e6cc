//! Parked records: what can never be applied is kept with its reason, in the transaction that goes past it, and
//! copied to the dead-letter topic.

use std::borrow::Cow;

use bytes::Bytes;
use schemas::{EventId, ParkReason, TenantId, Timestamp, Topic};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    batch::{RawRecord, TopicPartition},
    headers::{self, Headers},
    outbox::Outgoing,
    postgres::SinkConfig,
};

/// Longer values are not kept, only their size and SHA-256.
const MAX_KEPT_VALUE_BYTES: usize = 1024 * 1024;
/// A copy for the dead-letter topic holds no more: brokers refuse records above 1,048,588 bytes.
const MAX_COPY_BYTES: usize = 900_000;
const MAX_DETAIL_CHARS: usize = 2048;
/// Headers of ours. What comes in under that name is somebody's forgery or an older copy's.
const OWN_HEADERS: &str = "__weir.";

/// A record that is to be parked.
#[derive(Debug)]
pub(crate) struct Parking<'a> {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
    pub(crate) raw: &'a RawRecord,
    pub(crate) identity: Option<&'a (TenantId, EventId)>,
    pub(crate) reason: ParkReason,
    pub(crate) detail: Cow<'a, str>,
}

impl Parking<'_> {
    /// The detail as it is stored: no control characters, at most 2,048 characters.
    fn printable_detail(&self) -> String {
        self.detail.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL_CHARS).collect()
    }

    /// The copy for the dead-letter topic: original bytes and headers, and why it was parked.
    pub(crate) fn dead_letter(&self, stage: &str) -> Outgoing {
        let mut headers = self.raw.headers.to_headers();
        headers.retain(|(name, _)| !name.starts_with(OWN_HEADERS));
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers_size: usize = headers.iter().map(|(name, value)| name.len() + size(value) + 16).sum();
        let owned = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.to_vec());
        let (mut key, mut value) = (owned(&self.raw.key), owned(&self.raw.value));
        // Too large for the topic: what was parked says the rest.
        if headers_size > MAX_COPY_BYTES / 2 {
            headers.clear();
        }
        if size(&key) + size(&value) + headers_size.min(MAX_COPY_BYTES / 2) > MAX_COPY_BYTES {
            value = None;
        }
        if size(&key) > MAX_COPY_BYTES / 4 {
            key = None;
        }
        let mut error = |name: &str, text: String| {
            headers.push((format!("__weir.errors.{name}"), Some(text.into_bytes())));
        };
        error("topic", self.partition.topic.name().to_owned());
        error("partition", self.partition.partition.to_string());
        error("offset", self.offset.to_string());
        error("timestamp", self.raw.timestamp_ms.to_string());
        error("stage", stage.to_owned());
        error("exception", self.reason.name().to_owned());
        error("message", self.printable_detail());
        error("attempt", "1".to_owned());
        error("processor", stage.to_owned());
        Outgoing { from: self.partition, to: Topic::DeadLetter, key, value, headers }
    }
}

/// Writes parked records; called inside the transaction. What stands there already stays as it is: positions went
/// back after a fail-over, and somebody may have settled it meanwhile.
pub(crate) async fn write(
    tx: &mut PgConnection,
    config: &SinkConfig,
    parked: &[Parking<'_>],
) -> sqlx::Result<()> {
    if parked.is_empty() {
        return Ok(());
    }
    let kept = |value: &&[u8]| value.len() <= MAX_KEPT_VALUE_BYTES;
    let value = |p: &Parking<'_>| p.raw.value.clone().unwrap_or_default();
    sqlx::query(
        "INSERT INTO parked_record (stage, version, attempts, topic, partition, record_offset, recorded_at, tenant_id,
                event_id, key, value, value_size, value_sha256, headers, reason, detail)
         SELECT $1, $2, 1, a.* FROM unnest($3::text[], $4::int[], $5::bigint[], $6::timestamptz[], $7::text[],
                $8::uuid[], $9::bytea[], $10::bytea[], $11::bigint[], $12::bytea[], $13::jsonb[], $14::text[],
                $15::text[]) AS a
         ON CONFLICT DO NOTHING",
    )
    .bind(&config.stage)
    .bind(&config.version)
    .bind(parked.iter().map(|p| p.partition.topic.name()).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.partition.partition).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.offset).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.raw.recorded_at().filter(storable)).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.identity.map(|(tenant, _)| tenant.as_str())).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.identity.map(|(_, id)| *id.as_uuid())).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.raw.key.as_deref()).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.raw.value.as_deref().filter(kept)).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| i64::try_from(value(p).len()).unwrap_or(i64::MAX)).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| Sha256::digest(value(p)).to_vec()).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| headers::to_json(&p.raw.headers.to_headers())).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.reason.name()).collect::<Vec<_>>())
    .bind(parked.iter().map(Parking::printable_detail).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Postgres' timestamps end before Kafka's.
fn storable(at: &Timestamp) -> bool {
    const LAST_SECOND: i64 = 9_224_318_015_999; // 294276-12-31
    at.timestamp() <= LAST_SECOND
}

/// A parked record, with its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedRecord {
    /// What it is about, without the bytes.
    pub summary: ParkedSummary,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` for a tombstone, and above 1 MiB.
    pub value: Option<Vec<u8>>,
    /// SHA-256 of the value, kept or not.
    pub value_sha256: Vec<u8>,
    /// Its headers.
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
    /// Whose it is, where that could be read.
    pub tenant_id: Option<String>,
    /// The event's id, where it could be read.
    pub event_id: Option<Uuid>,
    /// Size of the value in bytes.
    pub value_size: i64,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence, without payload.
    pub detail: String,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// `parked`, `replayed` or `discarded`.
    pub status: String,
    /// How often it was published anew.
    pub replays: i16,
}

/// A record's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKey {
    /// The stage.
    pub stage: String,
    /// Where the record lies.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: i64,
}

/// Parked records of all tenants, last parked first; of one stage if one is named. For operators' connections.
pub async fn list(pool: &PgPool, stage: Option<&str>, limit: u16) -> sqlx::Result<Vec<ParkedSummary>> {
    sqlx::query_as(
        "SELECT stage, topic, partition, record_offset, recorded_at, tenant_id, event_id, value_size, reason, detail,
                parked_at, status, replays
           FROM parked_record WHERE $1 IS NULL OR stage = $1
          ORDER BY parked_at DESC, stage, topic, partition, record_offset LIMIT $2",
    )
    .bind(stage)
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await
}

/// One parked record with its bytes. For operators' connections.
pub async fn show(pool: &PgPool, key: &ParkedKey) -> sqlx::Result<Option<ParkedRecord>> {
    let row: Option<ParkedRow> = sqlx::query_as(
        "SELECT stage, topic, partition, record_offset, recorded_at, tenant_id, event_id, value_size, reason, detail,
                parked_at, status, replays, key, value, value_sha256, headers
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
struct ParkedRow {
    #[sqlx(flatten)]
    summary: ParkedSummary,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    value_sha256: Vec<u8>,
    headers: Value,
}

impl ParkedRow {
    fn into_record(self) -> sqlx::Result<ParkedRecord> {
        let headers = headers::from_json(&self.headers)
            .ok_or_else(|| sqlx::Error::Decode("headers of a parked record are malformed".into()))?;
        let Self { summary, key, value, value_sha256, .. } = self;
        Ok(ParkedRecord { summary, key, value, value_sha256, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(raw: &RawRecord, detail: &str) -> Outgoing {
        let partition = TopicPartition { topic: Topic::Usage, partition: 3 };
        let reason = ParkReason::Undecodable;
        Parking { partition, offset: 7, raw, identity: None, reason, detail: detail.into() }
            .dead_letter("audit")
    }

    fn header<'a>(outgoing: &'a Outgoing, name: &str) -> Option<&'a str> {
        let value = outgoing.headers.iter().find(|(n, _)| n == name)?.1.as_deref()?;
        std::str::from_utf8(value).ok()
    }

    #[test]
    fn a_dead_letter_is_the_original_with_its_reason() {
        let raw = RawRecord {
            key: Some("k".into()),
            value: Some(vec![0xff].into()),
            headers: [("ce_id", "1"), ("__weir.errors.topic", "forged")]
                .map(|(name, value)| (name.to_owned(), Some(value.into())))
                .into_iter()
                .collect(),
            timestamp_ms: 5,
        };
        let copy = copy(&raw, "no\nrecord");
        assert_eq!(
            (copy.to, copy.key.as_deref(), copy.value.as_deref()),
            (Topic::DeadLetter, raw.key.as_deref(), raw.value.as_deref())
        );
        assert_eq!(header(&copy, "ce_id"), Some("1"));
        assert_eq!(header(&copy, "__weir.errors.topic"), Some("weir.usage.v1"));
        assert_eq!(header(&copy, "__weir.errors.offset"), Some("7"));
        assert_eq!(header(&copy, "__weir.errors.exception"), Some("undecodable"));
        assert_eq!(header(&copy, "__weir.errors.message"), Some("no record"));
        assert_eq!(copy.headers.len(), 1 + 9);
    }

    #[test]
    fn a_copy_always_fits_the_topic() {
        let size = |o: &Outgoing| {
            let part = |b: &Option<Vec<u8>>| b.as_ref().map_or(0, Vec::len);
            part(&o.key)
                + part(&o.value)
                + o.headers.iter().map(|(n, v)| n.len() + part(v) + 16).sum::<usize>()
        };
        let mb = || Some(vec![b'x'; 1_000_000]);
        let header = |n: usize| (format!("h{n}"), Some(vec![b'y'; 1_000]));
        for raw in [
            RawRecord { value: mb().map(Bytes::from), ..RawRecord::default() },
            RawRecord { key: mb().map(Bytes::from), ..RawRecord::default() },
            RawRecord {
                key: mb().map(Bytes::from),
                value: mb().map(Bytes::from),
                headers: [("h".to_owned(), mb())].into_iter().collect(),
                timestamp_ms: -1,
            },
            RawRecord { headers: (0..10_000).map(header).collect(), ..RawRecord::default() },
            RawRecord {
                headers: (0..400).map(header).collect(),
                value: Some(vec![1; 700_000].into()),
                ..RawRecord::default()
            },
        ] {
            assert!(size(&copy(&raw, &"d".repeat(5_000))) < 1_000_000);
        }
    }
}
