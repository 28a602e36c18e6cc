//! Parked records: what can never be applied is kept with its reason, in the transaction that goes past it,
//! and copied to the dead-letter topic. Later an operator decides about it: it is replayed, or discarded.
//!
//! | status | means |
//! |---|---|
//! | `parked` | waits for a decision |
//! | `replayed` | published again; should it fail again, it is parked again, under its new offset |
//! | `discarded` | discarded, with the reason |
//!
//! A replayed record carries `__weir.replay.{topic,partition,offset,count}`: the place where it was parked,
//! and the number of its replays. The count comes back with it and is kept in `replays`, so that no record
//! goes round more than [`MAX_REPLAYS`] times.

mod reading;
mod settling;

use std::borrow::Cow;

use bytes::Bytes;
pub use reading::{ParkedKey, ParkedRecord, ParkedSummary, Selection, Status, list, show};
use schemas::{EventId, ParkReason, TenantId, Timestamp, Topic, text::one_line};
pub use settling::{ParkedPlace, Resolution, Settling};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::{
    batch::{KeptBytes, RawRecord, RecordChanges, TopicPartition},
    headers::{self, Headers},
    outbox::Outgoing,
    raw_headers::RawHeaders,
};

/// Most replays of one record.
pub const MAX_REPLAYS: i16 = 3;
/// Prefix of the headers of a replayed record.
const REPLAY_HEADERS: &str = "__weir.replay.";
const REPLAY_COUNT: &str = "__weir.replay.count";

/// Longer values are not kept, only their size and SHA-256.
const MAX_KEPT_VALUE_BYTES: usize = 1024 * 1024;
/// A copy for the dead-letter topic holds no more: brokers refuse records above 1,048,588 bytes.
const MAX_COPY_BYTES: usize = 900_000;
const MAX_DETAIL_CHARS: usize = 2048;
/// Weir's own headers. An incoming header of that name is forged, or an older copy's.
const OWN_HEADERS: &str = "__weir.";

/// A record that is to be parked.
#[derive(Debug)]
pub(crate) struct Parking<'a> {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
    pub(crate) raw: &'a RawRecord,
    pub(crate) identity: Option<&'a (TenantId, EventId)>,
    pub(crate) kept: KeptBytes,
    pub(crate) reason: ParkReason,
    pub(crate) detail: Cow<'a, str>,
}

impl<'a> Parking<'a> {
    /// The record of a batch, as it is parked.
    pub(crate) fn of<C>(
        record: &'a RecordChanges<C>,
        partition: TopicPartition,
        reason: ParkReason,
        detail: Cow<'a, str>,
    ) -> Self {
        Self {
            partition,
            offset: record.offset,
            raw: &record.raw,
            identity: record.identity.as_ref(),
            kept: record.kept,
            reason,
            detail,
        }
    }

    /// The detail as it is stored: no control characters, at most 2,048 characters.
    fn printable_detail(&self) -> String {
        one_line(&self.detail, MAX_DETAIL_CHARS)
    }

    /// The value, if it is to be kept and short enough.
    fn kept_value(&self) -> Option<&[u8]> {
        let value = self.raw.value.as_deref()?;
        let keeps = self.kept == KeptBytes::All && value.len() <= MAX_KEPT_VALUE_BYTES;
        (keeps || value.is_empty()).then_some(value)
    }

    /// The headers, if they are to be kept.
    fn kept_headers(&self) -> Headers {
        match self.kept {
            KeptBytes::All => self.raw.headers.to_headers(),
            KeptBytes::Reference => Headers::new(),
        }
    }

    /// The copy for the dead-letter topic: original bytes and headers, and why it was parked. `None` if only a reference
    /// is kept.
    pub(crate) fn dead_letter(&self, stage: &str) -> Option<Outgoing> {
        if self.kept == KeptBytes::Reference {
            return None;
        }
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
        error("attempt", (replays_of(&self.raw.headers) + 1).to_string());
        error("processor", stage.to_owned());
        Some(Outgoing { from: self.partition, to: Topic::DeadLetter, key, value, headers })
    }
}

/// Writes parked records; called inside the transaction. Rows that exist stay unchanged: positions went back
/// after a fail-over, and an operator may have settled them meanwhile.
pub(crate) async fn write(
    tx: &mut PgConnection,
    stage: &str,
    version: &str,
    parked: &[Parking<'_>],
) -> sqlx::Result<()> {
    if parked.is_empty() {
        return Ok(());
    }
    let value = |p: &Parking<'_>| p.raw.value.clone().unwrap_or_default();
    sqlx::query(
        "INSERT INTO parked_record (stage, version, attempts, topic, partition, record_offset, recorded_at, tenant_id,
                event_id, key, value, value_size, value_sha256, headers, reason, detail, replays)
         SELECT $1, $2, a.replays + 1, a.* FROM unnest($3::text[], $4::int[], $5::bigint[], $6::timestamptz[],
                $7::text[], $8::uuid[], $9::bytea[], $10::bytea[], $11::bigint[], $12::bytea[], $13::jsonb[],
                $14::text[], $15::text[], $16::smallint[]) AS a(topic, partition, record_offset, recorded_at, tenant_id,
                event_id, key, value, value_size, value_sha256, headers, reason, detail, replays)
         ON CONFLICT DO NOTHING",
    )
    .bind(stage)
    .bind(version)
    .bind(parked.iter().map(|p| p.partition.topic.name()).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.partition.partition).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.offset).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.raw.recorded_at().filter(storable)).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.identity.map(|(tenant, _)| tenant.as_str())).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.identity.map(|(_, id)| *id.as_uuid())).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.raw.key.as_deref()).collect::<Vec<_>>())
    .bind(parked.iter().map(Parking::kept_value).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| i64::try_from(value(p).len()).unwrap_or(i64::MAX)).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| Sha256::digest(value(p)).to_vec()).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| headers::to_json(&p.kept_headers())).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.reason.name()).collect::<Vec<_>>())
    .bind(parked.iter().map(Parking::printable_detail).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| replays_of(&p.raw.headers)).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Number of replays that the record's header states. A producer may forge it: too high a number only keeps
/// the record from being replayed, and too low a number allows at most [`MAX_REPLAYS`] more.
fn replays_of(headers: &RawHeaders) -> i16 {
    let counts = headers.iter().filter(|(name, _)| *name == REPLAY_COUNT);
    let count = |value: Option<&[u8]>| std::str::from_utf8(value?).ok()?.parse::<i16>().ok();
    counts.filter_map(|(_, value)| count(value)).max().unwrap_or(0).clamp(0, MAX_REPLAYS)
}

/// Headers of a parked record's `count`th replay: its own, and the place where it was parked.
pub fn replay_headers(record: &ParkedRecord, count: i16) -> Headers {
    let mut headers = record.headers.clone();
    headers.retain(|(name, _)| !name.starts_with(REPLAY_HEADERS));
    let parked = &record.summary;
    for (name, text) in [
        ("topic", parked.topic.clone()),
        ("partition", parked.partition.to_string()),
        ("offset", parked.record_offset.to_string()),
        ("count", count.to_string()),
    ] {
        headers.push((format!("{REPLAY_HEADERS}{name}"), Some(text.into_bytes())));
    }
    headers
}

/// Postgres' timestamps end before Kafka's.
fn storable(at: &Timestamp) -> bool {
    const LAST_SECOND: i64 = 9_224_318_015_999; // 294276-12-31
    at.timestamp() <= LAST_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(raw: &RawRecord, detail: &str) -> Outgoing {
        let partition = TopicPartition { topic: Topic::Usage, partition: 3 };
        let reason = ParkReason::Undecodable;
        let kept = KeptBytes::All;
        Parking { partition, offset: 7, raw, identity: None, kept, reason, detail: detail.into() }
            .dead_letter("audit")
            .expect("its bytes are kept")
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
    fn the_count_of_replays_is_read_from_the_header_within_its_bounds() {
        let count = |values: &[&[u8]]| {
            let headers = values.iter().map(|value| (REPLAY_COUNT.to_owned(), Some(value.to_vec())));
            let raw = RawRecord { headers: headers.collect(), ..RawRecord::default() };
            let attempt = header(&copy(&raw, ""), "__weir.errors.attempt").map(str::to_owned);
            (replays_of(&raw.headers), attempt.expect("always told"))
        };
        assert_eq!(count(&[]), (0, "1".into()));
        assert_eq!(count(&[b"2"]), (2, "3".into()));
        for (forged, taken) in [(&b"-7"[..], 0), (b"99", 3), (b"99999999999", 0), (b"", 0), (b"\xff", 0)] {
            assert_eq!(count(&[forged]).0, taken, "{forged:?}");
        }
        assert_eq!(count(&[b"3", b"0"]).0, 3, "the greatest counts");
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
