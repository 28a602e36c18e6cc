//! AWS CloudTrail records (event reference versions 1.0 to 1.11) to [`Activity`] events.
//!
//! No object is refused for what it holds: a field of the wrong type is left empty and counted, and the record
//! itself travels along verbatim. The same record always gives the same envelope, whatever stands around it.

mod actor;
mod fields;
mod identity;
mod kind;
mod resources;

use chrono::{Datelike as _, NaiveDateTime};
pub(crate) use resources::resource_named;
use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, Timestamp,
    envelope::native_format,
    events::{Activity, ActivityKind, Outcome, OutcomeStatus},
};
use serde_json::value::RawValue;
use thiserror::Error;

use self::fields::Fields;

/// Used where neither the record nor its wrapping tells a time: 2000-01-01T00:00:00Z. A constant, so that the
/// record gets the same place however often and beside whatever else it is imported.
pub const ASSUMED_TIME: Timestamp = match chrono::DateTime::from_timestamp(946_684_800, 0) {
    Some(time) => time,
    None => panic!("a valid instant"),
};

/// A record's envelope, and what had to be made up or left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The event, with the record verbatim.
    pub envelope: Envelope,
    /// What was odd about the record.
    pub oddities: Oddities,
}

/// What a record lacked. All of it is still in the native record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oddities {
    /// It had no `eventID` that is a UUID; one was derived from its content.
    pub id_derived: bool,
    /// It had no readable `eventTime`; the wrapping's, the session's or [`ASSUMED_TIME`] was taken.
    pub time_assumed: bool,
    /// It names no identity, or a field of a wrong type or length was left empty.
    pub fields_empty: bool,
}

/// The text is no JSON object.
#[derive(Debug, Error)]
#[error("not a JSON object")]
pub struct NotAnObject(#[source] serde_json::Error);

/// Whether an object has any field that only CloudTrail's records (or their EventBridge wrapping) have.
pub fn is_recognised(record: &str) -> bool {
    let Ok(fields) = Fields::parse(record) else { return false };
    let told = |fields: &Fields<'_>| {
        ["eventID", "eventName", "eventSource", "eventVersion", "eventTime", "userIdentity"]
            .iter()
            .any(|name| fields.has(name))
    };
    told(&fields) || fields.object("detail").is_some_and(|detail| told(&detail))
}

/// Maps one record, by itself or as the `detail` of an EventBridge event.
pub fn map(tenant: &TenantId, text: &str) -> Result<Mapped, NotAnObject> {
    let outer = Fields::parse(text).map_err(NotAnObject)?;
    let wrapped = (!outer.has("eventName") && !outer.has("eventID") && outer.has("detail-type"))
        .then(|| outer.raw("detail").and_then(|detail| Some((detail, Fields::parse(detail.get()).ok()?))))
        .flatten();
    Ok(match wrapped {
        Some((detail, record)) => {
            let record = Record { text: detail.get(), wrapping: Some(&outer), fields: &record };
            record.map(tenant)
        }
        None => Record { text, wrapping: None, fields: &outer }.map(tenant),
    })
}

struct Record<'a> {
    text: &'a str,
    wrapping: Option<&'a Fields<'a>>,
    fields: &'a Fields<'a>,
}

impl Record<'_> {
    fn map(&self, tenant: &TenantId) -> Mapped {
        let account = self.account();
        let source = account
            .as_deref()
            .and_then(|account| Source::new(format!("aws://{account}")).ok())
            .unwrap_or_else(|| Source::new("aws://unknown").expect("a URI without spaces"));
        let (id, id_derived) = self.id(tenant);
        let (occurred_at, time_assumed) = self.time();
        let activity = self.activity(account);
        let envelope = Envelope {
            id,
            tenant: tenant.clone(),
            source,
            subject: activity
                .resources
                .first()
                .map(|resource| resource.id.clone())
                .filter(|id| is_attribute(id)),
            occurred_at,
            correlation_id: self.fields.text("sharedEventID").filter(|id| is_attribute(id)),
            causation_id: None,
            trace: None,
            event: Event::Activity(activity),
            native: Some(Native { format: native_format::CLOUDTRAIL.into(), record: self.text.into() }),
        };
        let fields_empty = !self.fields.has("userIdentity")
            || self.fields.left_empty()
            || self.wrapping.is_some_and(Fields::left_empty);
        Mapped { envelope, oddities: Oddities { id_derived, time_assumed, fields_empty } }
    }

    /// CloudTrail's ids are UUIDs. Any other text is no promise of being unique: the content is.
    fn id(&self, tenant: &TenantId) -> (EventId, bool) {
        let wrapping_id = || self.wrapping.and_then(|wrapping| wrapping.text("id"));
        let told = self.fields.text("eventID").or_else(wrapping_id);
        let kept = told.and_then(|id| uuid::Uuid::try_parse(&id).ok()).and_then(EventId::new);
        let of_content = || {
            let content = identity::canonical(self.text);
            EventId::derived(tenant, native_format::CLOUDTRAIL, content.as_bytes())
        };
        (kept.unwrap_or_else(of_content), kept.is_none())
    }

    /// The first of the record's, the wrapping's and the session's time that can be read.
    fn time(&self) -> (Timestamp, bool) {
        if let Some(time) = self.fields.text("eventTime").as_deref().and_then(parse_time) {
            return (time, false);
        }
        let wrapping = || self.wrapping.and_then(|wrapping| wrapping.text("time"));
        let session = || {
            let context = self.fields.object("userIdentity")?.object("sessionContext")?;
            context.object("attributes")?.text("creationDate")
        };
        let told = wrapping().as_deref().and_then(parse_time);
        (told.or_else(|| session().as_deref().and_then(parse_time)).unwrap_or(ASSUMED_TIME), true)
    }

    fn account(&self) -> Option<String> {
        let of_identity = || self.fields.object("userIdentity")?.text("accountId");
        let of_wrapping = || self.wrapping?.text("account");
        self.fields.text("recipientAccountId").or_else(of_identity).or_else(of_wrapping).filter(|account| {
            account.len() <= 64 && account.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    }

    fn activity(&self, account: Option<String>) -> Activity {
        let outcome = self.outcome();
        let action = self.fields.text("eventName");
        let service = self.fields.text("eventSource");
        let kind = match &action {
            Some(action) => {
                kind::kind_of(action, service.as_deref().unwrap_or_default(), &outcome, self.fields)
            }
            None => ActivityKind::ApiCalled,
        };
        Activity {
            kind,
            action: action.unwrap_or_else(|| "unknown".into()),
            service,
            actor: actor::actor_of(self.fields),
            resources: resources::resources_of(self.fields, account),
            outcome,
            read_only: self.fields.flag("readOnly"),
            request_id: self.fields.text("requestID"),
        }
    }

    fn outcome(&self) -> Outcome {
        let code = self.fields.text("errorCode");
        let message = self.fields.text("errorMessage");
        let failed = self.fields.has("errorCode") || message.is_some() || self.is_refused_sign_in();
        let status = if failed {
            OutcomeStatus::Failure
        } else if self.fields.has("eventName") {
            OutcomeStatus::Success
        } else {
            OutcomeStatus::Unknown
        };
        Outcome { status, code, message }
    }

    /// A console sign-in tells its ending in its answer, often without an error code.
    fn is_refused_sign_in(&self) -> bool {
        let answer = || self.fields.object("responseElements")?.text("ConsoleLogin");
        self.fields.text("eventName").as_deref() == Some("ConsoleLogin")
            && answer().as_deref() == Some("Failure")
    }
}

/// RFC 3339, or date and time with a space or without a zone, which are UTC. To the microsecond, as stored.
fn parse_time(text: &str) -> Option<Timestamp> {
    let zoned = text.parse::<Timestamp>().ok();
    let bare = || {
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .map(|time| time.and_utc())
    };
    let time = zoned.or_else(bare)?;
    // Earlier or later is no time of a CloudTrail record: the service began in 2013.
    let plausible = time >= ASSUMED_TIME && time.year() <= 9_999;
    plausible.then(|| Timestamp::from_timestamp_micros(time.timestamp_micros())).flatten()
}

/// Whether a text is short enough for an attribute of the envelope.
fn is_attribute(text: &str) -> bool {
    text.len() <= 1_024
}

/// Whether raw JSON is worth reading: anything but `null`.
fn is_present(value: &RawValue) -> bool {
    value.get() != "null"
}

#[cfg(test)]
pub(crate) mod tests;
