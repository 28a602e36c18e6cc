//! Encodes and decodes [`Envelope`]s: the only parser of Weir.
//!
//! A record on a topic is read by [`decode`] and written by [`encode`]; JSON over HTTP is read by [`json`].
//! Input is untrusted: every length, depth and count is bounded before it is used, and a
//! refusal is a value that carries the reason for parking ([`ParkReason`]) or the response to the publisher.
//!
//! Three forms of records are accepted (`CloudEvents` 1.0, Kafka binding):
//!
//! | mode | headers | value |
//! |---|---|---|
//! | binary, ours | `ce_*` | Avro: Confluent framing (prefix or header) or single-object encoding |
//! | binary | `ce_*`, any other `content-type` | the event's data; null or nothing: an event without data |
//! | structured | `content-type: application/cloudevents+json` | the whole event as JSON |

mod attributes;
mod avro;
mod datum;
mod family;
mod framing;
pub mod json;
mod readable;
mod record;
mod refusal;
mod storable;
mod writer_schema;

#[cfg(test)]
mod compatibility;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use avro::{OwnSchema, own_schemas};
pub use framing::SchemaRef;
pub use readable::Readable;
pub use record::{decode, decode_shared, encode, states_time};
pub use refusal::{Refusal, Why};
pub use writer_schema::WriterSchema;

use crate::{Envelope, ParkReason, Timestamp, Topic};

/// A record as Kafka delivers it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Topic that it was read from.
    pub topic: Topic,
    /// Key; ignored.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is an event without data if the headers describe an event, otherwise a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in order. Names may repeat, values may be null.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// The record's timestamp, in milliseconds since 1970; negative if it has none.
    pub timestamp_ms: i64,
}

/// Content of a decoded record.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// An event.
    Event(Box<Envelope>),
    /// A null value without an event's headers: nothing to apply.
    Tombstone,
}

/// Error of decoding a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record can never be decoded: park it.
    #[error("{}: {detail}", reason.name())]
    Refused {
        /// Class of the error.
        reason: ParkReason,
        /// Description for people: at most 2,000 characters, no payload, no control characters.
        detail: String,
    },
    /// The writer's schema is not in the cache: fetch it, then decode again.
    #[error("the schema of {0} has to be fetched first")]
    NeedsSchema(SchemaRef),
}

/// Source of schemas for Confluent-framed records: a cache in front of a registry.
pub trait SchemaLookup {
    /// Looks a schema up in the cache. Never blocks and never fetches.
    fn look_up(&self, schema: SchemaRef) -> SchemaAnswer;
}

/// Answer of a schema lookup.
#[derive(Debug, Clone)]
pub enum SchemaAnswer {
    /// The schema.
    Known(Arc<WriterSchema>),
    /// Not in the cache: the caller fetches it and decodes again.
    Missing,
    /// The registry has no such schema.
    Unknown,
    /// The schema must not be used, for this reason.
    Refused(String),
}

/// No registry is configured: every registry schema is unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRegistry;

impl SchemaLookup for NoRegistry {
    fn look_up(&self, _schema: SchemaRef) -> SchemaAnswer {
        SchemaAnswer::Unknown
    }
}

/// Framing of a record's Avro value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// `C3 01`, then the CRC-64-AVRO fingerprint: needs no registry.
    SingleObject,
    /// `00`, then the registry's id.
    Confluent(SchemaIds),
}

/// Registry ids of Weir's newest schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaIds([u32; 6]);

impl SchemaIds {
    /// The ids of the six families, in the order of [`Topic::FAMILIES`].
    pub const fn new(ids: [u32; 6]) -> Self {
        Self(ids)
    }

    /// Each family's topic with its id.
    pub fn iter(&self) -> impl Iterator<Item = (Topic, u32)> + '_ {
        Topic::FAMILIES.into_iter().zip(self.0)
    }

    /// The id for a family's topic.
    fn of(&self, topic: Topic) -> u32 {
        let family = Topic::FAMILIES.iter().position(|family| *family == topic);
        self.0[family.expect("an event's topic is one of the six families")]
    }
}

/// Checks an envelope that was not made from JSON events against the requirements for every event: time,
/// texts, and the limits of its native record (one JSON object). A valid one is not parked for any of these
/// reasons.
pub fn check(envelope: &Envelope, received_at: Timestamp) -> Result<(), Refusal> {
    attributes::check_time(envelope.occurred_at, Some(received_at))?;
    family::check(&envelope.event, envelope.native.as_ref())?;
    envelope.native.as_ref().map_or(Ok(()), |native| json::check_native(&native.record))
}

/// An encoded record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// `<tenant>/<entity>`: records of one entity stay in order.
    pub key: Vec<u8>,
    /// The framed Avro value.
    pub value: Vec<u8>,
    /// `CloudEvents` binary mode: `ce_*` and `content-type`. All values are UTF-8.
    pub headers: Vec<(&'static str, Vec<u8>)>,
}
