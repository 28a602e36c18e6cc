//! Decodes records of a topic (headers and value) to envelopes, and encodes envelopes.

use std::borrow::Cow;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    DecodeError, Decoded, Encoded, Framing, Incoming, Refusal, SchemaAnswer, SchemaLookup, Why, WriterSchema,
    attributes::{Attributes, Head, Marks, Reception, record_time},
    avro::{by_fingerprint, newest, writing},
    family::{self, EventAndNative},
    framing::{CONFLUENT_MAGIC, Frame, SINGLE_OBJECT_MAGIC, frame},
    json,
};
use crate::{Envelope, EventId, Topic, instant_text::rfc3339_micros};

/// Maximum size of a value, in bytes.
const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// Maximum number of headers.
const MAX_HEADERS: usize = 256;
/// Maximum total size of header names and values, in bytes.
const MAX_HEADER_BYTES: usize = 256 * 1024;

/// Decodes one record. Any bytes give a result; none cause a panic or an allocation beyond a small multiple
/// of their length and 8 MiB.
pub fn decode(incoming: &Incoming<'_>, schemas: &impl SchemaLookup) -> Result<Decoded, DecodeError> {
    decode_value(incoming, None, schemas)
}

/// [`decode`] for a value that is kept: the event's native record shares its memory instead of copying it.
pub fn decode_shared(
    incoming: &Incoming<'_>,
    value: &Bytes,
    schemas: &impl SchemaLookup,
) -> Result<Decoded, DecodeError> {
    decode_value(&Incoming { value: Some(value), ..*incoming }, Some(value), schemas)
}

fn decode_value(
    incoming: &Incoming<'_>,
    shared: Option<&Bytes>,
    schemas: &impl SchemaLookup,
) -> Result<Decoded, DecodeError> {
    let value = match incoming.value {
        Some(value) => value,
        // A null value is an event without data (CloudEvents' Kafka binding, section 3.2) where headers tell of one.
        None if names_event(incoming.headers) => &[],
        None => return Ok(Decoded::Tombstone),
    };
    if value.len() > MAX_VALUE_BYTES {
        return Err(
            Refusal::new(Why::TooLarge, format!("the value has more than {MAX_VALUE_BYTES} bytes")).into()
        );
    }
    let headers = read_headers(incoming.headers)?;
    let reception =
        Reception { tenant: None, at: record_time(incoming.timestamp_ms), topic: Some(incoming.topic) };
    let envelope = match headers.mode(value)? {
        Mode::Structured => json::structured_record(value, headers.attributes.tenant, &reception)?,
        Mode::Binary => json::binary(headers.attributes, headers.content_type.as_deref(), value, &reception)?,
        Mode::BinaryAvro => {
            let head = headers.attributes.head(&reception, &headers.marks)?;
            avro_event(incoming, head, (value, shared), schemas)?
        }
    };
    Ok(Decoded::Event(Box::new(envelope)))
}

fn avro_event(
    incoming: &Incoming<'_>,
    head: Head<'_>,
    (value, shared): (&[u8], Option<&Bytes>),
    schemas: &impl SchemaLookup,
) -> Result<Envelope, DecodeError> {
    let read = |schema: &WriterSchema, datum: &[u8]| read(incoming.topic, schema, datum, shared);
    let (event, native) = match frame(value, incoming.headers)? {
        Frame::SingleObject { fingerprint, datum } => {
            let own = by_fingerprint(fingerprint).ok_or_else(|| {
                Refusal::new(
                    Why::SchemaUnknown,
                    format!("no schema has the fingerprint {}", hex(fingerprint)),
                )
            })?;
            read(&own.schema, datum)?
        }
        Frame::Registered { schema: named, datum } => match schemas.look_up(named) {
            SchemaAnswer::Known(schema) => read(&schema, datum)?,
            SchemaAnswer::Missing => return Err(DecodeError::NeedsSchema(named)),
            SchemaAnswer::Unknown => {
                return Err(Refusal::new(Why::SchemaUnknown, format!("no schema has the {named}")).into());
            }
            SchemaAnswer::Refused(why) => {
                return Err(Refusal::new(Why::SchemaRefused, format!("schema of {named}: {why}")).into());
            }
        },
    };
    if head.ce_type != event.ce_type() {
        let detail = format!("ce_type is not {}, which the value is", event.ce_type());
        return Err(Refusal::new(Why::InvalidEnvelope, detail).into());
    }
    family::check(&event, native.as_ref())?;
    Ok(head.around(event, native))
}

fn read(
    topic: Topic,
    schema: &WriterSchema,
    datum: &[u8],
    shared: Option<&Bytes>,
) -> Result<EventAndNative, Refusal> {
    if schema.topic() != topic {
        let detail = format!("the schema belongs to {}, not to {topic}", schema.topic());
        return Err(Refusal::new(Why::SchemaRefused, detail));
    }
    schema
        .read(datum, shared)
        .map_err(|why| Refusal::new(Why::Undecodable, format!("the value does not fit its schema: {why}")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        hex.extend(
            [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default()),
        );
        hex
    })
}

#[derive(Default)]
struct Headers<'a> {
    attributes: Attributes<'a>,
    marks: Marks,
    content_type: Option<Cow<'a, str>>,
    /// Whether attributes have their HTTP header names, and none those of Kafka.
    is_of_http: bool,
}

enum Mode {
    Structured,
    /// The data is the value, of any media type except Avro.
    Binary,
    BinaryAvro,
}

fn read_headers<'a>(headers: &[(&'a str, Option<&'a [u8]>)]) -> Result<Headers<'a>, Refusal> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        let detail = format!("more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them");
        return Err(Refusal::new(Why::OverLimit, detail));
    }
    let mut read = Headers::default();
    let of_http = |name: &str| name.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case("ce-"));
    read.is_of_http = headers.iter().any(|(name, _)| of_http(name)) && !names_event(headers);
    for (name, value) in headers {
        let text = || match value.map(std::str::from_utf8) {
            Some(Ok(text)) => Ok(Cow::Borrowed(text)),
            _ => {
                Err(Refusal::new(Why::InvalidEnvelope, format!("header {} is not UTF-8 text", clipped(name))))
            }
        };
        if *name == Marks::ID {
            read.marks.id = Some(own_id(&text()?)?);
        } else if *name == Marks::TIME {
            read.marks.time_assumed = text()? == Marks::ASSUMED;
        } else if let Some(attribute) = name.strip_prefix("ce_") {
            read.attributes.set(attribute, text()?)?;
        } else if name.eq_ignore_ascii_case("content-type") && read.content_type.replace(text()?).is_some() {
            return Err(Refusal::new(Why::InvalidEnvelope, "header content-type is given twice"));
        }
    }
    Ok(read)
}

fn own_id(text: &str) -> Result<EventId, Refusal> {
    let id = Uuid::try_parse(text).ok().and_then(EventId::new);
    id.ok_or_else(|| Refusal::new(Why::InvalidEnvelope, format!("header {} is not a UUID", Marks::ID)))
}

fn clipped(name: &str) -> String {
    name.chars().take(40).collect()
}

/// Whether headers contain the attributes of an event.
fn names_event(headers: &[(&str, Option<&[u8]>)]) -> bool {
    headers.iter().any(|(name, _)| *name == "ce_specversion" || *name == "ce_type" || *name == "ce_id")
}

impl Headers<'_> {
    fn mode(&self, value: &[u8]) -> Result<Mode, Refusal> {
        let refused = |why, detail: &str| Err(Refusal::new(why, detail));
        if self.is_quoted() {
            let detail = "header values stand in quotes, as JSON writes them; send the texts themselves \
                          (Spring: a header mapper that writes strings, not JSON)";
            return refused(Why::InvalidEnvelope, detail);
        }
        if self.is_of_http {
            let detail =
                "headers begin with ce-, as over HTTP; on Kafka attributes are headers that begin with ce_";
            return refused(Why::InvalidEnvelope, detail);
        }
        let Some(content_type) = &self.content_type else { return self.mode_without_type(value) };
        let media = essence(content_type);
        if is_structured(&media) {
            return Ok(Mode::Structured);
        }
        if media.starts_with("application/cloudevents") {
            return refused(Why::InvalidEnvelope, "of structured events only JSON, one a record, is read");
        }
        let subtype = media.split_once('/').map_or("", |(_, subtype)| subtype);
        let is_json = subtype == "json" || subtype.ends_with("+json");
        if media.contains("avro") {
            return Ok(Mode::BinaryAvro);
        }
        if !media.contains('/') {
            return refused(
                Why::InvalidEnvelope,
                "content-type is no media type; it is application/json or Avro's",
            );
        }
        if is_json && value.first() == Some(&CONFLUENT_MAGIC) {
            let detail = "the value begins with Confluent's framing (00 and a schema's id), and content-type says JSON; \
                          of framed values only Avro is read: send JSON without a schema serializer";
            return refused(Why::Undecodable, detail);
        }
        Ok(Mode::Binary)
    }

    /// The mode without a media type: Avro, as Weir writes it; no data if the value is empty.
    fn mode_without_type(&self, value: &[u8]) -> Result<Mode, Refusal> {
        let refused = |detail: &str| Err(Refusal::new(Why::Undecodable, detail));
        match value {
            [] if self.attributes.specversion.is_some() => Ok(Mode::Binary),
            [3, 0 | 5, rest @ ..] if rest.len() >= 16 => refused(
                "the value begins with the header of AWS Glue's schema registry (03), which is not read; send JSON with \
                 the header content-type: application/json, or Avro in Confluent's framing",
            ),
            value if looks_like_json(value) => refused(
                "the value is neither in Confluent's framing nor marked as single-object encoding, and no header names \
                 its schema; it looks like JSON: for JSON set the header content-type: application/json",
            ),
            _ => Ok(Mode::BinaryAvro),
        }
    }

    fn is_quoted(&self) -> bool {
        let quoted = |text: &Option<Cow<'_, str>>| {
            text.as_deref()
                .is_some_and(|text| text.len() >= 2 && text.starts_with('"') && text.ends_with('"'))
        };
        quoted(&self.content_type) || quoted(&self.attributes.specversion)
    }
}

/// A media type without its parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_structured(media: &str) -> bool {
    matches!(media, "application/cloudevents+json" | "application/cloudevents")
}

/// Whether the event of a record states when it happened: in the header `ce_time`, or in structured mode in the
/// value. Any other event happened at the record's timestamp.
pub fn states_time(headers: &[(&str, Option<&[u8]>)], value: Option<&[u8]>) -> bool {
    let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = content_type.and_then(|(_, value)| std::str::from_utf8((*value)?).ok());
    if content_type.is_some_and(|content_type| is_structured(&essence(content_type))) {
        value.is_some_and(json::states_time)
    } else {
        headers.iter().any(|(name, value)| *name == "ce_time" && value.is_some())
    }
}

fn looks_like_json(value: &[u8]) -> bool {
    let first = value.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'[')) && std::str::from_utf8(value).is_ok()
}

/// Encodes an event for its topic: `CloudEvents` binary mode, Avro value. Equal envelopes give equal bytes.
pub fn encode(envelope: &Envelope, framing: &Framing) -> Encoded {
    Encoded { key: key(envelope), value: value(envelope, framing), headers: headers(envelope) }
}

/// The record key. Events without an entity are spread by their source, so that they do not crowd one
/// partition.
fn key(envelope: &Envelope) -> Vec<u8> {
    let entity = envelope.event.entity();
    let entity = if entity.is_empty() { envelope.source.as_str() } else { entity };
    [envelope.tenant.as_str(), entity].join("/").into_bytes()
}

fn value(envelope: &Envelope, framing: &Framing) -> Vec<u8> {
    let native = envelope.native.as_ref();
    let topic = envelope.event.topic();
    let own = match framing {
        Framing::SingleObject => writing(topic, envelope.event.kind_name()),
        // The registry's ids are those of the newest versions, and its readers fetch what they do not have.
        Framing::Confluent(_) => newest(topic),
    };
    let mut value = Vec::with_capacity(512 + native.map_or(0, |native| native.record.len()));
    match framing {
        Framing::SingleObject => {
            value.extend(SINGLE_OBJECT_MAGIC);
            value.extend(own.fingerprint);
        }
        Framing::Confluent(ids) => {
            value.push(CONFLUENT_MAGIC);
            value.extend(ids.of(topic).to_be_bytes());
        }
    }
    own.schema.write(&envelope.event, native, &mut value);
    value
}

fn headers(envelope: &Envelope) -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let mut headers = Vec::with_capacity(14);
    let id = envelope.id.to_string();
    headers.push(("ce_specversion", text("1.0")));
    headers.push(("ce_id", text(envelope.original_id.as_deref().unwrap_or(&id))));
    headers.push((Marks::ID, id.into_bytes()));
    headers.push(("ce_source", text(envelope.source.as_str())));
    headers.push(("ce_type", text(envelope.event.ce_type())));
    headers.push(("ce_time", rfc3339_micros(envelope.occurred_at).into_bytes()));
    if envelope.time_assumed {
        headers.push((Marks::TIME, text(Marks::ASSUMED)));
    }
    headers.push(("ce_tenantid", text(envelope.tenant.as_str())));
    let trace = envelope.trace.as_ref();
    let optional = [
        ("ce_subject", envelope.subject.as_deref()),
        ("ce_correlationid", envelope.correlation_id.as_deref()),
        ("ce_causationid", envelope.causation_id.as_deref()),
        ("ce_traceparent", trace.map(|trace| trace.traceparent.as_str())),
        ("ce_tracestate", trace.and_then(|trace| trace.tracestate.as_deref())),
    ];
    headers.extend(optional.into_iter().filter_map(|(name, value)| Some((name, text(value?)))));
    headers.push(("content-type", text("application/avro")));
    headers
}
