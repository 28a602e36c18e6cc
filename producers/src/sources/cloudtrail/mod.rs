//! AWS CloudTrail records (event reference versions 1.0 to 1.11) to [`Activity`] events.
//!
//! No object is refused for what it holds: a field of the wrong type is left empty and counted, and the record
//! itself travels along verbatim. The same record always gives the same envelope, whatever stands around it.

mod actor;
mod kind;
mod resources;

pub(crate) use resources::resource_named;
use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, Timestamp, canonical_json,
    envelope::native_format,
    events::{Activity, ActivityKind, Outcome, OutcomeStatus},
};

use super::{
    fields::Fields,
    mapped::{ASSUMED_TIME, Mapped, NotARecord, Oddities, is_attribute, parse_time},
};

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
pub fn map(tenant: &TenantId, text: &str) -> Result<Mapped, NotARecord> {
    let outer = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
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
            skewed: false,
            time_assumed,
            original_id: None,
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
        let of_content = || EventId::derived(tenant, native_format::CLOUDTRAIL, &canonical_json(self.text));
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

#[cfg(test)]
pub(crate) mod tests;
