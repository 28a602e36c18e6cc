//! Parses `CloudEvents` attributes of any binding (Kafka headers, HTTP headers, a JSON object) into the part
//! of an envelope that is not its data.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta};

use super::{Refusal, Why};
use crate::{
    Envelope, Event, EventId, Native, Source, TenantId, Timestamp, TraceContext,
    events::scalars::parse_instant,
};

/// Maximum length of an attribute, in bytes. Attributes that Postgres indexes stay below a third of its page.
const MAX_ATTRIBUTE_BYTES: usize = 1024;
/// Maximum length of `subject`, in bytes: object keys and paths are long, and `subject` is not indexed.
const MAX_SUBJECT_BYTES: usize = 8 * 1024;
/// Maximum length of `tracestate`, in bytes (W3C Trace Context asks for at least 512).
const MAX_TRACESTATE_BYTES: usize = 512;
/// Earliest accepted `time`: 2000-01-01, in seconds since 1970.
const EARLIEST_S: i64 = 946_684_800;
/// Maximum lead of `time` over the receiver's clock.
const MAX_AHEAD: TimeDelta = TimeDelta::hours(24);

/// Tenant, time and topic of an event's reception.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reception<'a> {
    /// Tenant of the credential; `None` where the event itself is trusted to name it.
    pub(super) tenant: Option<&'a TenantId>,
    /// Time of reception; `None` if unknown.
    pub(super) at: Option<Timestamp>,
    /// Topic that the event was read from; `None` over HTTP.
    pub(super) topic: Option<crate::Topic>,
}

/// The attributes that Weir knows, as text; unknown extensions are not kept.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    pub(super) specversion: Option<Cow<'a, str>>,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) source: Option<Cow<'a, str>>,
    pub(super) ce_type: Option<Cow<'a, str>>,
    pub(super) time: Option<Cow<'a, str>>,
    pub(super) subject: Option<Cow<'a, str>>,
    pub(super) tenant: Option<Cow<'a, str>>,
    pub(super) correlation_id: Option<Cow<'a, str>>,
    pub(super) causation_id: Option<Cow<'a, str>>,
    pub(super) traceparent: Option<Cow<'a, str>>,
    pub(super) tracestate: Option<Cow<'a, str>>,
    pub(super) auth_id: Option<Cow<'a, str>>,
}

impl<'a> Attributes<'a> {
    /// Whether an attribute of that name is known to Weir, and kept.
    pub(super) fn knows(name: &str) -> bool {
        Self::default().slot(name).is_some()
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<Cow<'a, str>>> {
        Some(match name {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.ce_type,
            "time" => &mut self.time,
            "subject" => &mut self.subject,
            "tenantid" => &mut self.tenant,
            "correlationid" => &mut self.correlation_id,
            "causationid" => &mut self.causation_id,
            "traceparent" => &mut self.traceparent,
            "tracestate" => &mut self.tracestate,
            "authid" => &mut self.auth_id,
            _ => return None,
        })
    }

    /// Sets an attribute by its `CloudEvents` name. A second one of the same name is refused.
    pub(super) fn set(&mut self, name: &str, value: Cow<'a, str>) -> Result<(), Refusal> {
        let Some(slot) = self.slot(name) else { return Ok(()) };
        if value.contains('\0') {
            return Err(Refusal::new(Why::Unstorable, format!("attribute {name} contains U+0000")));
        }
        if slot.replace(value).is_some() {
            return Err(Refusal::new(Why::InvalidEnvelope, format!("attribute {name} is given twice")));
        }
        Ok(())
    }

    /// Checks the attributes and turns them into an envelope that lacks only its event. The headers of Weir's own records
    /// go before them.
    pub(super) fn head(self, reception: &Reception<'_>, marks: &Marks) -> Result<Head<'a>, Refusal> {
        let invalid = |detail: &str| Refusal::new(Why::InvalidEnvelope, detail);
        match self.specversion.as_deref() {
            Some("1.0") => {}
            Some(_) => return Err(invalid("specversion must be 1.0")),
            None => return Err(invalid("specversion is missing")),
        }
        let id = required(self.id, "id")?;
        let source = required(self.source, "source")?;
        let ce_type = required(self.ce_type, "type")?;
        let subject = optional(self.subject, "subject")?;
        let tenant = tenant(optional(self.tenant, "tenantid")?.as_deref(), reception)?;
        let source = Source::new(source.into_owned()).map_err(|error| invalid(&error.to_string()))?;
        let (event_id, original_id) = if let Some(event_id) = marks.id {
            // A publisher's id that equals the event's id is dropped: nothing was derived from it.
            (event_id, (!event_id.is_written(&id)).then(|| id.into_owned()))
        } else {
            let derived = EventId::from_source(&tenant, &source, &id);
            (derived.ok_or_else(|| invalid("id is empty"))?, Some(id.into_owned()))
        };
        let occurred_at = occurred_at(self.time.as_deref(), reception)?;
        Ok(Head {
            id: event_id,
            original_id,
            time_assumed: self.time.is_none() || marks.time_assumed,
            tenant,
            source,
            subject: subject.map(Cow::into_owned),
            occurred_at,
            skewed: reception.at.is_some_and(|received| Envelope::is_ahead_of(occurred_at, received)),
            correlation_id: optional(self.correlation_id, "correlationid")?.map(Cow::into_owned),
            causation_id: optional(self.causation_id, "causationid")?.map(Cow::into_owned),
            trace: trace(self.traceparent, self.tracestate),
            ce_type,
            auth_id: optional(self.auth_id, "authid")?.map(Cow::into_owned),
        })
    }
}

/// Headers that only Weir's own records carry, beside the `CloudEvents` attributes. Read only where the value
/// is Avro, as Weir writes it: no publisher chooses an event's id in the audit log.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// `ce_weirid`: the event's id.
    pub(super) id: Option<EventId>,
    /// `ce_weirtime: assumed`: `ce_time` is a substitute.
    pub(super) time_assumed: bool,
}

impl Marks {
    pub(super) const ID: &'static str = "ce_weirid";
    pub(super) const TIME: &'static str = "ce_weirtime";
    pub(super) const ASSUMED: &'static str = "assumed";
}

/// An envelope that lacks its event.
#[derive(Debug)]
pub(super) struct Head<'a> {
    id: EventId,
    original_id: Option<String>,
    time_assumed: bool,
    tenant: TenantId,
    source: Source,
    pub(super) subject: Option<String>,
    occurred_at: Timestamp,
    skewed: bool,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    trace: Option<TraceContext>,
    pub(super) ce_type: Cow<'a, str>,
    /// The registered extension `authid`: the actor of the event.
    pub(super) auth_id: Option<String>,
}

impl Head<'_> {
    /// The envelope with that event.
    pub(super) fn around(self, event: Event, native: Option<Native>) -> Envelope {
        Envelope {
            id: self.id,
            original_id: self.original_id,
            tenant: self.tenant,
            source: self.source,
            subject: self.subject,
            occurred_at: self.occurred_at,
            skewed: self.skewed,
            time_assumed: self.time_assumed,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            trace: self.trace,
            event,
            native,
        }
    }
}

fn required<'a>(value: Option<Cow<'a, str>>, name: &str) -> Result<Cow<'a, str>, Refusal> {
    optional(value, name)?
        .ok_or_else(|| Refusal::new(Why::InvalidEnvelope, format!("attribute {name} is missing or empty")))
}

/// An empty attribute counts as absent, because `CloudEvents` allows no empty one.
fn optional<'a>(value: Option<Cow<'a, str>>, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
    let longest = if name == "subject" { MAX_SUBJECT_BYTES } else { MAX_ATTRIBUTE_BYTES };
    match value {
        Some(value) if value.len() > longest => {
            let detail = format!("attribute {name} is longer than {longest} bytes");
            Err(Refusal::new(Why::InvalidEnvelope, detail))
        }
        other => Ok(other.filter(|value| !value.is_empty())),
    }
}

fn tenant(named: Option<&str>, reception: &Reception<'_>) -> Result<TenantId, Refusal> {
    match (named, reception.tenant) {
        (None, Some(tenant)) => Ok(tenant.clone()),
        (Some(named), Some(tenant)) if named == tenant.as_str() => Ok(tenant.clone()),
        (Some(_), Some(_)) => {
            Err(Refusal::new(Why::OtherTenant, "tenantid names another tenant than the credential's"))
        }
        (Some(named), None) => TenantId::new(named).map_err(|_| {
            let rule =
                "tenantid is not 1 to 64 characters of A-Z a-z 0-9 . _ - beginning with a letter or digit";
            Refusal::new(Why::InvalidEnvelope, rule)
        }),
        (None, None) => Err(Refusal::new(Why::TenantMissing, "no tenantid is given")),
    }
}

fn occurred_at(time: Option<&str>, reception: &Reception<'_>) -> Result<Timestamp, Refusal> {
    let time = match (time, reception.at) {
        (Some(text), _) => parse_instant(text)
            .map_err(|why| Refusal::new(Why::InvalidEvent, format!("the event's time {why}")))?,
        (None, Some(received)) => received,
        (None, None) => return Err(Refusal::new(Why::InvalidEnvelope, "time is missing")),
    };
    check_time(time, reception.at)?;
    Ok(time)
}

/// Refuses a time that is too early, or too far ahead of when the event was received.
pub(super) fn check_time(time: Timestamp, received_at: Option<Timestamp>) -> Result<(), Refusal> {
    let early = time.timestamp() < EARLIEST_S;
    let late = received_at.and_then(|at| at.checked_add_signed(MAX_AHEAD)).is_some_and(|limit| time > limit);
    if early || late {
        let bound = if early { "before 2000-01-01" } else { "more than 24 h ahead of when it was received" };
        return Err(Refusal::new(Why::TimeOutOfRange, format!("the event's time is {bound}")));
    }
    Ok(())
}

/// The trace context; an invalid one is dropped, as W3C Trace Context requires.
fn trace(parent: Option<Cow<'_, str>>, state: Option<Cow<'_, str>>) -> Option<TraceContext> {
    let parent = parent.filter(|parent| is_traceparent(parent))?;
    let state = state.filter(|state| {
        !state.is_empty()
            && state.len() <= MAX_TRACESTATE_BYTES
            && state.bytes().all(|b| (0x20..0x7f).contains(&b))
    });
    Some(TraceContext { traceparent: parent.into_owned(), tracestate: state.map(Cow::into_owned) })
}

/// `00-<32 hex>-<16 hex>-<2 hex>` with neither id zero.
fn is_traceparent(text: &str) -> bool {
    let hex =
        |part: &str, len| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &str, len| hex(part, len) && part.bytes().any(|b| b != b'0');
    let mut parts = text.split('-');
    let mut next = || parts.next().unwrap_or_default();
    let good = next() == "00" && id(next(), 32) && id(next(), 16) && hex(next(), 2);
    good && parts.next().is_none()
}

/// The instant of a record's own timestamp; none for a record without one.
pub(super) fn record_time(timestamp_ms: i64) -> Option<Timestamp> {
    (timestamp_ms >= 0).then(|| DateTime::from_timestamp_millis(timestamp_ms)).flatten()
}
