//! Events of the audit log about access, in Weir's own name.

use std::net::IpAddr;

use chrono::{SecondsFormat, SubsecRound as _};
use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, Timestamp,
    access::Principal,
    events::{Activity, ActivityKind, Actor, Outcome, OutcomeStatus, Resource},
    text::one_line,
};
use serde_json::{Value, json};

use super::{Refusals, Use};

/// The source of all of these events.
pub const SOURCE: &str = "/weir/access";
/// Format of the record that comes with an event.
const FORMAT: &str = "weir.access";
/// Longest filter that an event keeps, in characters.
const MAX_FILTER_CHARS: usize = 2_000;

/// An event about access to a tenant's data.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessEvent {
    /// The event's id: stored once, however often it is published.
    pub id: EventId,
    /// Tenant whose data was accessed.
    pub tenant: TenantId,
    /// Time of the access.
    pub occurred_at: Timestamp,
    /// Id that related events share: both ends of an export.
    pub correlation_id: Option<String>,
    /// The activity.
    pub activity: Activity,
    /// Further facts, as JSON.
    pub details: String,
}

impl AccessEvent {
    fn new(tenant: &TenantId, at: Timestamp, activity: Activity, details: &Value) -> Self {
        let occurred_at = at.trunc_subsecs(6);
        Self {
            id: EventId::at(occurred_at, rand::random()),
            tenant: tenant.clone(),
            occurred_at,
            correlation_id: None,
            activity,
            details: details.to_string(),
        }
    }

    /// The event as it is published.
    pub fn envelope(self) -> Envelope {
        Envelope {
            id: self.id,
            tenant: self.tenant,
            source: Source::new(SOURCE).expect("a URI reference"),
            subject: None,
            occurred_at: self.occurred_at,
            skewed: false,
            time_assumed: false,
            original_id: None,
            correlation_id: self.correlation_id,
            causation_id: None,
            trace: None,
            event: Event::Activity(self.activity),
            native: Some(Native { format: FORMAT.to_owned(), record: self.details.into() }),
        }
    }
}

impl From<Refusals> for AccessEvent {
    fn from(refusals: Refusals) -> Self {
        let Refusals { tenant, mut actor, reason, count, first, last, addresses, classes } = refusals;
        actor.ip = addresses.first().map(ToString::to_string);
        let (kind, action) = if reason.is_of_credential() {
            (ActivityKind::SignInFailed, "Authenticate")
        } else {
            (ActivityKind::AccessDenied, "Request")
        };
        let requests = if count == 1 { "request was" } else { "requests were" };
        let message = format!("{count} {requests} refused within a minute: {}", reason.code());
        let details = json!({
            "refused": count, "reason": reason.code(), "first": instant(first), "last": instant(last),
            "addresses": addresses, "routes": classes,
        });
        let activity = Activity {
            kind,
            action: action.to_owned(),
            service: Some("weir".to_owned()),
            actor,
            resources: classes.into_iter().map(|class| resource("weir.routes", class)).collect(),
            outcome: outcome(OutcomeStatus::Failure, Some(reason.code()), message),
            read_only: None,
            request_id: None,
        };
        Self::new(&tenant, last, activity, &details)
    }
}

/// The first request of a principal, or the first after a long time.
pub fn signed_in(used: &Use, is_first: bool) -> AccessEvent {
    let message = if is_first { "first use of this credential" } else { "first use after a pause" };
    let scopes: Vec<&str> = used.principal.scopes().iter().map(|scope| scope.name()).collect();
    let activity = Activity {
        kind: ActivityKind::SignedIn,
        action: "Authenticate".to_owned(),
        service: Some("weir".to_owned()),
        actor: actor_at(&used.principal, used.address),
        resources: Vec::new(),
        outcome: outcome(OutcomeStatus::Success, None, message.to_owned()),
        read_only: None,
        request_id: None,
    };
    let details = json!({"first": is_first, "kind": used.principal.kind(), "scopes": scopes});
    AccessEvent::new(used.principal.tenant(), used.at, activity, &details)
}

/// The issuer's claims give a principal other roles than the last time.
pub fn roles_changed(used: &Use, before: &[String]) -> AccessEvent {
    let actor = actor_at(&used.principal, used.address);
    let now = actor.roles.clone();
    let listed = |roles: &[String]| if roles.is_empty() { "none".to_owned() } else { roles.join(", ") };
    let activity = Activity {
        kind: ActivityKind::PermissionChanged,
        action: "ChangeRoles".to_owned(),
        service: Some("weir".to_owned()),
        actor,
        resources: Vec::new(),
        outcome: outcome(
            OutcomeStatus::Success,
            None,
            format!("roles by the issuer's claims: {}; before: {}", listed(&now), listed(before)),
        ),
        read_only: Some(false),
        request_id: None,
    };
    AccessEvent::new(used.principal.tenant(), used.at, activity, &json!({"roles": now, "before": before}))
}

/// Somebody begins to export audit entries; `filter` is the query of the request.
pub fn export_begun(used: &Use, format: &str, filter: &str) -> AccessEvent {
    let filter = one_line(filter, MAX_FILTER_CHARS);
    let message = format!("an export of audit entries as {format} begins");
    let done = outcome(OutcomeStatus::Success, None, message);
    let mut event = export("BeginAuditExport", used, done, &json!({"format": format, "filter": filter}));
    event.correlation_id = Some(event.id.to_string());
    event
}

/// The export is over: all of it was sent, or it was broken off after so many rows.
pub fn export_ended(used: &Use, begun: &AccessEvent, rows: u64, is_whole: bool) -> AccessEvent {
    let (status, how) = if is_whole {
        (OutcomeStatus::Success, "in whole")
    } else {
        (OutcomeStatus::Failure, "and was broken off")
    };
    let entries = if rows == 1 { "entry" } else { "entries" };
    let message = format!("the export sent {rows} {entries} {how}");
    let done = outcome(status, None, message);
    let mut event = export("EndAuditExport", used, done, &json!({"rows": rows, "whole": is_whole}));
    event.correlation_id.clone_from(&begun.correlation_id);
    event
}

fn export(action: &str, used: &Use, outcome: Outcome, details: &Value) -> AccessEvent {
    let activity = Activity {
        kind: ActivityKind::DataExported,
        action: action.to_owned(),
        service: Some("weir".to_owned()),
        actor: actor_at(&used.principal, used.address),
        resources: vec![resource("weir.audit_log", used.principal.tenant().as_str())],
        outcome,
        read_only: Some(true),
        request_id: None,
    };
    AccessEvent::new(used.principal.tenant(), used.at, activity, details)
}

fn actor_at(principal: &Principal, address: IpAddr) -> Actor {
    Actor { ip: Some(address.to_string()), ..principal.actor() }
}

fn resource(kind: &str, id: &str) -> Resource {
    Resource { kind: Some(kind.to_owned()), id: id.to_owned(), ..Resource::default() }
}

fn outcome(status: OutcomeStatus, code: Option<&str>, message: String) -> Outcome {
    Outcome { status, code: code.map(str::to_owned), message: Some(message) }
}

fn instant(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
