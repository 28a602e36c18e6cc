//! Result of a source's mapping, and substitutes for what a record lacks.

use chrono::{Datelike as _, NaiveDateTime};
use schemas::{Envelope, Event, EventId, Native, Source, TenantId, Timestamp, canonical_json};
use thiserror::Error;

/// Time of records for which neither the record nor its carrier states one: 2000-01-01T00:00:00Z. A constant,
/// so that repeated imports of a record agree.
pub const ASSUMED_TIME: Timestamp = match chrono::DateTime::from_timestamp(946_684_800, 0) {
    Some(time) => time,
    None => panic!("a valid instant"),
};

/// A record's envelope, with the substitutes that were needed.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The event, with the record verbatim.
    pub envelope: Envelope,
    /// Substitutes in the envelope.
    pub oddities: Oddities,
}

/// Substitutes for what a record lacked. The native record is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oddities {
    /// The record has no id that its source guarantees to be unique; the id is derived from its content.
    pub id_derived: bool,
    /// The record has no readable time; that of its carrier or [`ASSUMED_TIME`] was taken.
    pub time_assumed: bool,
    /// The record names no actor, or a field of a wrong type or length was left empty.
    pub fields_empty: bool,
}

/// Reason why a text is not a record of the source.
#[derive(Debug, Error)]
pub enum NotARecord {
    /// It is not a JSON object.
    #[error("not a JSON object")]
    NotAnObject(#[source] serde_json::Error),
    /// It is a document of another kind; says which, and what to send instead.
    #[error("{0}")]
    OtherDocument(String),
}

/// Fields that a source's mapping reads from a record; [`Draft::finish`] turns them into the envelope.
pub(super) struct Draft {
    pub(super) format: &'static str,
    /// A URI reference; an invalid one is replaced by the format's name.
    pub(super) source: String,
    /// An id that the source guarantees to be unique.
    pub(super) id: Option<EventId>,
    pub(super) occurred_at: Option<Timestamp>,
    pub(super) correlation_id: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) event: Event,
    pub(super) fields_empty: bool,
}

impl Draft {
    pub(super) fn finish(self, tenant: &TenantId, text: &str) -> Mapped {
        let of_content = || EventId::derived(tenant, self.format, &canonical_json(text));
        let oddities = Oddities {
            id_derived: self.id.is_none(),
            time_assumed: self.occurred_at.is_none(),
            fields_empty: self.fields_empty,
        };
        let envelope = Envelope {
            id: self.id.unwrap_or_else(of_content),
            tenant: tenant.clone(),
            source: Source::new(self.source)
                .unwrap_or_else(|_| Source::new(self.format).expect("a format's name has no space")),
            subject: self.subject.filter(|text| is_attribute(text)),
            occurred_at: self.occurred_at.unwrap_or(ASSUMED_TIME),
            skewed: false,
            time_assumed: oddities.time_assumed,
            original_id: None,
            correlation_id: self.correlation_id.filter(|text| is_attribute(text)),
            causation_id: None,
            trace: None,
            event: self.event,
            native: Some(Native { format: self.format.into(), record: text.into() }),
        };
        Mapped { envelope, oddities }
    }
}

/// A UUID that a source gave; other texts are not guaranteed to be unique.
pub(super) fn uuid_of(text: Option<String>) -> Option<EventId> {
    text.and_then(|id| uuid::Uuid::try_parse(&id).ok()).and_then(EventId::new)
}

/// RFC 3339, also without seconds; date and time with a space or without a zone, which are UTC; the forms of RFC 2822 and
/// of the consoles' tables (`Jan 5, 2026, 8:00:00 AM`); a number of [`instant_of_number`] as text. To the microsecond, as
/// stored.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    const ZONED: [&str; 6] = [
        "%Y-%m-%d %H:%M:%S%.f %z",
        "%Y-%m-%dT%H:%M:%S%.f%z",
        "%Y-%m-%dT%H:%M%z",
        "%Y-%m-%d %H:%M %z",
        "%d/%b/%Y:%H:%M:%S %z",
        "%a %b %d %H:%M:%S %z %Y",
    ];
    const BARE: [&str; 10] = [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
        "%Y%m%dT%H%M%S",
        "%Y/%m/%d %H:%M:%S%.f",
        "%b %d, %Y, %I:%M:%S %p",
        "%b %d, %Y %I:%M:%S %p",
        "%m/%d/%Y %I:%M:%S %p",
        "%B %d, %Y, %H:%M:%S",
    ];
    let text = text.trim();
    let zoned = || {
        let rfc2822 = chrono::DateTime::parse_from_rfc2822(text).ok();
        let other = || ZONED.iter().find_map(|format| chrono::DateTime::parse_from_str(text, format).ok());
        rfc2822.or_else(other).map(|time| time.to_utc())
    };
    let without_zone = || {
        let text = text.strip_suffix(')').unwrap_or(text);
        let text = ["UTC", "GMT", "Z"].iter().find_map(|zone| text.strip_suffix(zone)).unwrap_or(text);
        let text = text.trim_end_matches([' ', '(']);
        // `%I` takes one digit or two, and so do the other numbers; only narrow spaces differ.
        let text = text.replace('\u{202f}', " ");
        BARE.iter().find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok()).map(|t| t.and_utc())
    };
    let number = || text.parse().ok().and_then(instant_of_number);
    let exact = text.parse::<Timestamp>().ok();
    plausible(exact.or_else(number).or_else(without_zone).or_else(zoned)?)
}

/// Seconds since 1970; milliseconds, microseconds or nanoseconds where that many seconds would lie beyond the year 5138.
pub(super) fn instant_of_number(number: f64) -> Option<Timestamp> {
    const FIRST_MILLISECONDS: f64 = 1e11;
    let mut micros = number * 1e6;
    for (from, factor) in [(FIRST_MILLISECONDS, 1e3), (1e14, 1.0), (1e17, 1e-3)] {
        if number >= from {
            micros = number * factor;
        }
    }
    if !(0.0..1e18).contains(&micros) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked above; fractions of a microsecond are dropped"
    )]
    plausible(Timestamp::from_timestamp_micros(micros as i64)?)
}

/// The time, unless it is before 2000 (no supported source is older) or after 9999.
pub(super) fn plausible(time: Timestamp) -> Option<Timestamp> {
    let plausible = time >= ASSUMED_TIME && time.year() <= 9_999;
    plausible.then(|| Timestamp::from_timestamp_micros(time.timestamp_micros())).flatten()
}

/// Whether a text is short enough for an attribute of the envelope.
pub(super) fn is_attribute(text: &str) -> bool {
    text.len() <= 1_024
}
