//! A batch: what a stage asks its sink to settle, whole or not at all.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use schemas::{EventId, ParkReason, TenantId, Timestamp, Topic};

use crate::raw_headers::RawHeaders;

/// A partition of one of our topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Topic,
    /// The partition's number.
    pub partition: i32,
}

/// Consecutive records of some partitions, decided upon but not yet settled.
#[derive(Debug)]
pub struct Batch<C> {
    /// In offset order within each partition.
    pub records: Vec<RecordChanges<C>>,
    /// One per partition of the batch, sorted; every record lies in one of them.
    pub ranges: Vec<OffsetRange>,
    /// Hash of the rules or policies under which all of its records were decided; `None` where the processor has none.
    pub rule_set: Option<Arc<str>>,
}

/// Advance of one partition by a batch: from the stage's cursor up to, not including, `upto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetRange {
    /// The partition.
    pub partition: TopicPartition,
    /// The stage's cursor: its last `upto`, not a record's offset, for markers leave holes.
    pub start: i64,
    /// Last offset of the batch + 1.
    pub upto: i64,
    /// Fingerprint of the last record in the range; `None` when the range holds no record.
    pub last: Option<LastRecord>,
    /// The claim under which the stage owns the partition.
    pub owner_epoch: i64,
}

/// The last settled record of a partition, by which a stage recognises its log again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRecord {
    /// Its offset.
    pub offset: i64,
    /// SHA-256 of its key, value and timestamp.
    pub print: [u8; 32],
}

/// One record, the processor's decision about it, and its bytes in case it must be parked.
#[derive(Debug)]
pub struct RecordChanges<C> {
    /// Index into [`Batch::ranges`].
    pub range: usize,
    /// The record's offset.
    pub offset: i64,
    /// The processor's decision about the record.
    pub settlement: Settlement<C>,
    /// The record itself.
    pub raw: RawRecord,
    /// Tenant and id, where the envelope could be read.
    pub identity: Option<(TenantId, EventId)>,
    /// Parts of the record that are kept if it is parked.
    pub kept: KeptBytes,
}

/// Parts of a parked record that are kept beside its reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeptBytes {
    /// Its bytes, and a copy on the dead-letter topic.
    #[default]
    All,
    /// Its place, size and SHA-256. The bytes stay on the topic that it was read from.
    Reference,
}

/// Decision about a record: apply its changes, ignore it or park it.
#[derive(Debug)]
pub enum Settlement<C> {
    /// Apply these changes; there may be none.
    Apply(Vec<C>),
    /// The record has no effect, by a named rule (a tombstone, for example).
    Ignore(&'static str),
    /// It can never be applied.
    Park {
        /// Class of the reason.
        reason: ParkReason,
        /// Description of the reason in one sentence, without payload or control characters; at most 2,048
        /// characters are kept.
        detail: String,
    },
}

/// A record as the broker delivered it. Nearly every one is applied, and its bytes are dropped unread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// The key, if any.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in order; names may repeat, values may be null.
    pub headers: RawHeaders,
    /// Kafka's timestamp in milliseconds, −1 if none.
    pub timestamp_ms: i64,
}

impl RawRecord {
    /// Copies a borrowed record behind those that were copied to `arena` before. They share its memory, a piece of
    /// which is freed with the last record in it.
    pub fn copy(
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        headers: &[(&str, Option<&[u8]>)],
        timestamp_ms: i64,
        arena: &mut BytesMut,
    ) -> Self {
        arena.reserve(key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + RawHeaders::room(headers));
        let mut part = |bytes: &[u8]| {
            arena.extend_from_slice(bytes);
            arena.split().freeze()
        };
        let (key, value) = (key.map(&mut part), value.map(&mut part));
        Self { key, value, headers: RawHeaders::copy(headers, arena), timestamp_ms }
    }

    /// Bytes of key, value and headers.
    pub fn size(&self) -> usize {
        let size = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        size(&self.key) + size(&self.value) + self.headers.size()
    }

    /// Kafka's timestamp as an instant, if it has one.
    pub fn recorded_at(&self) -> Option<Timestamp> {
        (self.timestamp_ms >= 0).then(|| Timestamp::from_timestamp_millis(self.timestamp_ms)).flatten()
    }
}
