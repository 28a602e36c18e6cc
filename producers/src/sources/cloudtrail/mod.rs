//! Maps AWS CloudTrail records (event reference versions 1.0 to 1.11) to [`Activity`] events.
//!
//! No object is rejected for its content: a field of a wrong type is left empty and counted, and the record
//! itself is kept verbatim. The same record always gives the same envelope, regardless of its context.

mod actor;
mod insight;
mod kind;
mod partition;
mod resources;

pub(crate) use resources::resources_in;
use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, Timestamp, canonical_json,
    envelope::native_format,
    events::{Activity, ActivityKind, Outcome, OutcomeStatus},
};

use super::{
    Around, Received, SourceRow,
    fields::Fields,
    mapped::{ASSUMED_TIME, Mapped, NotARecord, Oddities, is_attribute},
};

pub(super) const ROW: SourceRow = SourceRow {
    format: native_format::CLOUDTRAIL,
    slug: "cloudtrail",
    record: "a CloudTrail record",
    takes: "AWS CloudTrail: `Records` files, arrays, a record a line, EventBridge events, CloudWatch Logs subscriptions, \
            `aws cloudtrail lookup-events`, Lake's eventJson and query results, Firehose, Kinesis",
    lists: &["Records", "logEvents", "Events", "QueryResultRows"],
    received: Received::WithKey,
    marks: &[
        "eventID",
        "eventName",
        "eventSource",
        "eventVersion",
        "eventTime",
        "userIdentity",
        "insightDetails",
    ],
    map: map_within,
};

/// Maps one record, by itself or as the `detail` of an EventBridge event.
pub fn map(tenant: &TenantId, text: &str) -> Result<Mapped, NotARecord> {
    map_within(tenant, text, &Around::default())
}

/// Maps one record that was unpacked from a carrier.
fn map_within(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    let fields = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    let wrapped = (!fields.has("eventName") && !fields.has("eventID") && fields.has("detail-type"))
        .then(|| fields.raw("detail").filter(|detail| detail.get().starts_with('{')))
        .flatten();
    if let Some(detail) = wrapped {
        let around = Around {
            time: fields.instant("time").or(around.time),
            id: fields.plain_text("id"),
            account: fields.plain_text("account"),
        };
        return map_within(tenant, detail.get(), &around);
    }
    Ok(Record { text, around, fields: &fields }.map(tenant))
}

struct Record<'a> {
    text: &'a str,
    around: &'a Around,
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
        let fields_empty = !self.fields.has("userIdentity") || self.fields.left_empty();
        Mapped { envelope, oddities: Oddities { id_derived, time_assumed, fields_empty } }
    }

    /// CloudTrail's ids are UUIDs. Other texts are not guaranteed to be unique, so that the content is used
    /// instead.
    fn id(&self, tenant: &TenantId) -> (EventId, bool) {
        let told = self.fields.text("eventID").or_else(|| self.around.id.clone());
        let kept = told.and_then(|id| uuid::Uuid::try_parse(&id).ok()).and_then(EventId::new);
        let of_content = || EventId::derived(tenant, native_format::CLOUDTRAIL, &canonical_json(self.text));
        (kept.unwrap_or_else(of_content), kept.is_none())
    }

    /// The first valid time of the record, the carrier and the session.
    fn time(&self) -> (Timestamp, bool) {
        if let Some(time) = self.fields.instant("eventTime") {
            return (time, false);
        }
        let session = || {
            let context = self.fields.inner("userIdentity")?.inner("sessionContext")?;
            context.inner("attributes")?.instant("creationDate")
        };
        (self.around.time.or_else(session).unwrap_or(ASSUMED_TIME), true)
    }

    fn account(&self) -> Option<String> {
        let of_identity = || self.fields.object("userIdentity")?.text("accountId");
        let of_wrapping = || self.around.account.clone();
        self.fields.text("recipientAccountId").or_else(of_identity).or_else(of_wrapping).filter(|account| {
            account.len() <= 64 && account.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    }

    fn activity(&self, account: Option<String>) -> Activity {
        if let Some(insight) = self.fields.inner("insightDetails") {
            return insight::activity_of(self.fields, &insight, account);
        }
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

    /// Whether a sign-in was refused, which its response or the service's details state under the event's name, often without
    /// an error code.
    fn is_refused_sign_in(&self) -> bool {
        let Some(event) = self.fields.text("eventName") else { return false };
        let of_sign_in = || {
            let service = self.fields.plain_text("eventSource").unwrap_or_default();
            service == "signin.amazonaws.com" || service == "signin"
        };
        let refuses = |place: &str| {
            let answer = self.fields.inner(place).and_then(|answer| answer.plain_text(&event));
            answer.as_deref() == Some("Failure")
        };
        (event == "ConsoleLogin" || of_sign_in())
            && ["responseElements", "serviceEventDetails"].into_iter().any(refuses)
    }
}

#[cfg(test)]
pub(crate) mod tests;
