//! `CloudEvents` as JSON: structured, binary and batched, over HTTP or on a topic.
//!
//! The data of one of our types is the family's struct, field for field (`kind` may be left out, the type
//! says it), and beside the fields, if wanted, `native: {"format": .., "record": ..}`: the source's own record,
//! kept verbatim (of a JSON string, its content). The data of any other type is kept verbatim as the native
//! record of an [`ApiCalled`](crate::events::ActivityKind::ApiCalled) whose action is the type.
//!
//! Every text is walked once before it is parsed ([`limits`]): depth, counts, lengths and numbers are bounded.

mod data;
mod limits;
mod object;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::{
    Refusal, Why,
    attributes::{Attributes, Reception},
    family,
};
use crate::{Envelope, TenantId, Timestamp};

/// Most events that a batch may hold.
pub const MAX_BATCH: usize = 10_000;

/// Reads one event in structured mode (`application/cloudevents+json`).
///
/// `tenant` is the credential's; `now` is the receiver's time, also that of an event without `time`.
pub fn parse_structured(body: &[u8], tenant: &TenantId, now: Timestamp) -> Result<Envelope, Refusal> {
    structured(utf8(body)?, &over_http(tenant, now))
}

/// Reads one event in binary mode: its attributes (names without `ce-`, values as they stand in the HTTP
/// headers, percent-encoded) and its data as JSON.
pub fn parse_binary<'a>(
    attributes: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    body: &[u8],
    tenant: &TenantId,
    now: Timestamp,
) -> Result<Envelope, Refusal> {
    let mut read = Attributes::default();
    for (name, value) in attributes {
        let text = percent_decode(value).decode_utf8().map_err(|_| {
            Refusal::new(Why::InvalidEnvelope, format!("attribute {name} is not percent-encoded UTF-8"))
        })?;
        read.set(name, text)?;
    }
    binary(read, body, &over_http(tenant, now))
}

/// Reads a batch (`application/cloudevents-batch+json`): an error is the whole batch's, otherwise each event has
/// its own answer, in order.
pub fn parse_batch(
    body: &[u8],
    tenant: &TenantId,
    now: Timestamp,
) -> Result<Vec<Result<Envelope, Refusal>>, Refusal> {
    let items = limits::split_array(utf8(body)?, MAX_BATCH)?;
    if items.is_empty() {
        return Err(Refusal::new(Why::InvalidEnvelope, "the batch holds no event"));
    }
    let reception = over_http(tenant, now);
    Ok(items.into_iter().map(|item| structured(item, &reception)).collect())
}

/// Checks a native record, or any other JSON text, against what native records may hold: depth 64, 10,000 keys and
/// items, numbers of 40 digits, no U+0000. That it is JSON is not checked.
pub fn check_native(record: &str) -> Result<(), Refusal> {
    limits::check(record, limits::Document::Native)
}

/// A structured event on a topic. A tenant in the headers serves where the event names none; it may not differ.
pub(super) fn structured_record(
    value: &[u8],
    header_tenant: Option<Cow<'_, str>>,
    reception: &Reception<'_>,
) -> Result<Envelope, Refusal> {
    let text = utf8(value)?;
    limits::check(text, limits::Document::Structured)?;
    let mut event = object::read(text)?;
    match (&event.attributes.tenant, header_tenant) {
        (Some(named), Some(header)) if *named != header => {
            return Err(Refusal::new(Why::InvalidEnvelope, "tenantid and header ce_tenantid differ"));
        }
        (None, Some(header)) => event.attributes.tenant = Some(Cow::Owned(header.into_owned())),
        _ => {}
    }
    envelope(event.attributes, &event.data, reception)
}

/// An event whose attributes are read and whose data is a JSON text.
pub(super) fn binary(
    attributes: Attributes<'_>,
    body: &[u8],
    reception: &Reception<'_>,
) -> Result<Envelope, Refusal> {
    let text = utf8(body)?;
    limits::check(text, limits::Document::Data)?;
    let json = serde_json::from_str(text).map_err(|error| object::invalid_json(&error))?;
    envelope(attributes, &object::Data::Json(json), reception)
}

fn structured(text: &str, reception: &Reception<'_>) -> Result<Envelope, Refusal> {
    limits::check(text, limits::Document::Structured)?;
    let event = object::read(text)?;
    envelope(event.attributes, &event.data, reception)
}

fn envelope(
    attributes: Attributes<'_>,
    data: &object::Data<'_>,
    reception: &Reception<'_>,
) -> Result<Envelope, Refusal> {
    let head = attributes.head(reception)?;
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
