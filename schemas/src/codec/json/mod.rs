//! `CloudEvents` as JSON: structured, binary and batched, over HTTP or on a topic.
//!
//! The data of one of Weir's types is the family's struct, field for field (`kind` may be omitted, since the
//! type implies it), and optionally `native: {"format": .., "record": ..}`: the source's own record, kept
//! verbatim (of a JSON string, its content). The data of any other type is kept verbatim as the native record
//! of an [`ApiCalled`](crate::events::ActivityKind::ApiCalled) whose action is the type.
//!
//! Every text is walked once before it is parsed ([`limits`]): depth, counts, lengths and numbers are bounded.

mod data;
mod limits;
mod object;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode;
use serde_json::value::RawValue;

use super::{
    Refusal, Why,
    attributes::{Attributes, Marks, Reception},
    family,
};
use crate::{Envelope, TenantId, Timestamp};

/// Maximum number of events in a batch.
pub const MAX_BATCH: usize = 10_000;

/// Reads one event in structured mode (`application/cloudevents+json`).
///
/// `tenant` is the credential's; `now` is the receiver's time, also that of an event without `time`.
pub fn parse_structured(body: &[u8], tenant: &TenantId, now: Timestamp) -> Result<Envelope, Refusal> {
    structured(utf8(body)?, &over_http(tenant, now))
}

/// Reads one event in binary mode: its attributes (names without `ce-`, values as in the HTTP headers: quoted
/// or not, percent-encoded or in ISO 8859-1) and its data, whose media type is `content_type`.
///
/// Data that is not declared as JSON is kept as in structured mode: text as text, anything else in base64.
/// Without a media type, valid JSON is treated as JSON. An empty body is no data.
pub fn parse_binary<'a>(
    attributes: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    content_type: Option<&str>,
    body: &[u8],
    tenant: &TenantId,
    now: Timestamp,
) -> Result<Envelope, Refusal> {
    let mut read = Attributes::default();
    for (name, value) in attributes {
        let value = in_utf8(unquoted(value));
        let text = percent_decode(&value).decode_utf8().map_err(|_| {
            Refusal::new(Why::InvalidEnvelope, format!("attribute {name} is not percent-encoded UTF-8"))
        })?;
        read.set(name, Cow::Owned(text.into_owned()))?;
    }
    binary(read, content_type, body, &over_http(tenant, now))
}

/// A header's value in UTF-8. A value that is not UTF-8 is read as ISO 8859-1, HTTP's former charset (RFC
/// 9110, section 5.5), which clients such as Python's `requests` and JavaScript's `fetch` send for unencoded
/// values.
fn in_utf8(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if std::str::from_utf8(&value).is_ok() {
        return value;
    }
    Cow::Owned(value.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes())
}

/// A header's value without the quotes and escapes of a quoted string (RFC 7230, section 3.2.6; CloudEvents'
/// HTTP binding, section 3.1.3.2); any other value is unchanged.
fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = value.strip_prefix(b"\"") else { return Cow::Borrowed(value) };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            b'"' if bytes.as_slice().is_empty() => return Cow::Owned(plain),
            b'"' => break,
            _ => plain.push(*byte),
        }
    }
    Cow::Borrowed(value)
}

/// Reads a batch (`application/cloudevents-batch+json`), which may be empty. An error concerns the whole
/// batch; otherwise each event has its own result, in order.
pub fn parse_batch(
    body: &[u8],
    tenant: &TenantId,
    now: Timestamp,
) -> Result<Vec<Result<Envelope, Refusal>>, Refusal> {
    let items = limits::split_array(utf8(body)?, MAX_BATCH)?;
    let reception = over_http(tenant, now);
    Ok(items.into_iter().map(|item| structured(item, &reception)).collect())
}

/// Checks a native record, or any other JSON text, against the limits of native records: depth 64, 10,000
/// keys and items, numbers of 40 digits, no U+0000. Does not check that it is valid JSON.
pub fn check_native(record: &str) -> Result<(), Refusal> {
    limits::check(record, limits::Document::Native)
}

/// Parses a structured event on a topic. The header's tenant is used if the event names none; the two must
/// not differ.
pub(super) fn structured_record(
    value: &[u8],
    header_tenant: Option<Cow<'_, str>>,
    reception: &Reception<'_>,
) -> Result<Envelope, Refusal> {
    let mut event = checked(utf8(value)?)?;
    match (&event.attributes.tenant, header_tenant) {
        (Some(named), Some(header)) if *named != header => {
            return Err(Refusal::new(Why::InvalidEnvelope, "tenantid and header ce_tenantid differ"));
        }
        (None, Some(header)) => event.attributes.tenant = Some(Cow::Owned(header.into_owned())),
        _ => {}
    }
    envelope(event.attributes, &event.data, reception)
}

/// Whether a structured event has the attribute `time`.
pub(super) fn states_time(value: &[u8]) -> bool {
    let event = utf8(value).and_then(object::read);
    event.is_ok_and(|event| event.attributes.time.is_some())
}

/// Parses an event in binary mode, given its attributes and its data.
pub(super) fn binary(
    attributes: Attributes<'_>,
    content_type: Option<&str>,
    body: &[u8],
    reception: &Reception<'_>,
) -> Result<Envelope, Refusal> {
    if body.is_empty() {
        return envelope(attributes, &object::Data::Absent, reception);
    }
    let kind = content_type.map(DataKind::of);
    let is_own = attributes.ce_type.as_deref().is_some_and(|ce_type| family::of_type(ce_type).is_some());
    let json = match kind {
        Some(DataKind::Json) => Some(json_data(body, is_own)?),
        Some(_) => None,
        None => json_data(body, is_own).ok(),
    };
    let data = match (json, kind) {
        (Some(json), _) => object::Data::Json(json),
        (None, Some(DataKind::Text) | None) => match std::str::from_utf8(body) {
            Ok(text) if !text.contains('\0') => object::Data::Text(text),
            _ => object::Data::Base64(Cow::Owned(STANDARD.encode(body))),
        },
        (None, Some(_)) => object::Data::Base64(Cow::Owned(STANDARD.encode(body))),
    };
    envelope(attributes, &data, reception)
}

/// Whether text in that charset is UTF-8: by its name, by a common misspelling, or as a part of it.
pub fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name))
}

/// Kind of data that a media type denotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DataKind {
    Json,
    Text,
    Bytes,
}

impl DataKind {
    /// JSON is UTF-8 (RFC 8259); text in another charset is kept as bytes.
    fn of(content_type: &str) -> Self {
        let lower = content_type.to_ascii_lowercase();
        let mut parts = lower.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let utf8 = parts
            .filter_map(|parameter| parameter.strip_prefix("charset="))
            .all(|charset| is_utf8(charset.trim_matches('"')));
        let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
        match (essence, subtype) {
            _ if !utf8 => Self::Bytes,
            (_, "json") => Self::Json,
            (_, subtype) if subtype.ends_with("+json") => Self::Json,
            (_, "xml" | "yaml" | "x-yaml") => Self::Text,
            (_, subtype) if subtype.ends_with("+xml") || subtype.ends_with("+yaml") => Self::Text,
            (essence, _) if essence.starts_with("text/") => Self::Text,
            _ => Self::Bytes,
        }
    }
}

fn json_data(body: &[u8], is_own: bool) -> Result<&RawValue, Refusal> {
    let text = utf8(body)?;
    limits::check(text, if is_own { limits::Document::Data } else { limits::Document::Native })?;
    serde_json::from_str(text).map_err(|error| object::invalid_json(&error))
}

fn structured(text: &str, reception: &Reception<'_>) -> Result<Envelope, Refusal> {
    let event = checked(text)?;
    envelope(event.attributes, &event.data, reception)
}

/// Checks the limits of a structured event: those of events, and those of native records for the data of a
/// type that is not Weir's, which is kept verbatim.
fn checked(text: &str) -> Result<object::Structured<'_>, Refusal> {
    let event = object::read(text);
    let is_foreign = event.as_ref().is_ok_and(|event| {
        event.attributes.ce_type.as_deref().is_some_and(|ce_type| family::of_type(ce_type).is_none())
    });
    let document = if is_foreign { limits::Document::Foreign } else { limits::Document::Structured };
    limits::check(text, document)?;
    event
}

fn envelope(
    attributes: Attributes<'_>,
    data: &object::Data<'_>,
    reception: &Reception<'_>,
) -> Result<Envelope, Refusal> {
    let head = attributes.head(reception, &Marks::default())?;
    let (event, native) = data::event(&head, data)?;
    if family::of_type(&head.ce_type).is_some() && reception.topic.is_some_and(|topic| topic != event.topic())
    {
        let detail = format!("events of this type belong on {}", event.topic());
        return Err(Refusal::new(Why::InvalidEvent, detail));
    }
    family::check(&event, native.as_ref())?;
    Ok(head.around(event, native))
}

fn over_http(tenant: &TenantId, now: Timestamp) -> Reception<'_> {
    Reception { tenant: Some(tenant), at: Some(now), topic: None }
}

fn utf8(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|error| {
        Refusal::new(Why::InvalidJson, format!("the text is not UTF-8 from byte {}", error.valid_up_to()))
    })
}
