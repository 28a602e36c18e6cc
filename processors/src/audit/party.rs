//! OCSF objects of actors and resources.

use std::net::IpAddr;

use schemas::{
    Envelope,
    events::{Actor, ActorKind, Outcome, OutcomeStatus, Resource},
};

use super::object::{
    self, Cloud, Device, Endpoint, Groups, HttpRequest, Named, ResourceData, ResourceDetails, Session, Tags,
    TypedEntity, User,
};
use super::record::Record;

/// OCSF's word for a required attribute with an unknown value.
pub(super) const UNKNOWN: &str = "Unknown";

impl<'a> From<&'a Actor> for User<'a> {
    fn from(actor: &'a Actor) -> Self {
        let (kind, type_id) = match actor.kind {
            ActorKind::User => ("User", 1),
            ActorKind::System => ("System", 3),
            ActorKind::ServiceAccount => ("Service", 4),
            ActorKind::Role => ("Role", 99),
            ActorKind::Unknown => (UNKNOWN, 0),
        };
        let uid = filled(&actor.id);
        let name = actor.name.as_deref();
        User {
            account: actor.account.as_deref().map(|uid| Named { name: None, uid: Some(uid) }),
            groups: Groups(&actor.roles),
            name: if uid.is_none() && actor.account.is_none() { name.or(Some(UNKNOWN)) } else { name },
            kind,
            type_id,
            uid,
        }
    }
}

/// The actor's session, if anything is known of it.
pub(super) fn session(actor: &Actor) -> Option<Session<'_>> {
    let known = actor.session.is_some() || actor.mfa.is_some();
    known.then_some(Session { is_mfa: actor.mfa, uid: actor.session.as_deref() })
}

/// The actor; if the event names none, the system that reported it.
pub(super) fn actor<'a>(envelope: &'a Envelope, actor: Option<&'a Actor>) -> object::Actor<'a> {
    match actor {
        Some(actor) => object::Actor { app_name: None, session: session(actor), user: Some(actor.into()) },
        None => object::Actor { app_name: Some(envelope.source.as_str()), session: None, user: None },
    }
}

/// The actor's network endpoint: an address as `ip` if it is one, a dotted name as `domain`, and any other
/// text as `name` (sources write `AWS Internal` and unparseable addresses).
pub(super) fn endpoint(actor: Option<&Actor>) -> Endpoint<'_> {
    let nowhere = Endpoint { domain: None, ip: None, name: None };
    match actor.and_then(|actor| actor.ip.as_deref()) {
        None => Endpoint { name: Some(UNKNOWN), ..nowhere },
        Some(text) if text.parse::<IpAddr>().is_ok() => Endpoint { ip: Some(text), ..nowhere },
        Some(text) if is_domain(text) => Endpoint { domain: Some(text), ..nowhere },
        Some(text) => Endpoint { name: Some(text), ..nowhere },
    }
}

fn is_domain(text: &str) -> bool {
    text.contains('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Sets actor, address and client in a record of a class that has attributes for all three.
pub(super) fn set_caller<'a>(record: &mut Record<'a>, envelope: &'a Envelope, who: Option<&'a Actor>) {
    record.actor = Some(actor(envelope, who));
    record.src_endpoint = Some(endpoint(who));
    record.http_request =
        who.and_then(|who| who.user_agent.as_deref()).map(|user_agent| HttpRequest { user_agent });
}

/// Sets the actor in a record of a class without an attribute for the caller's address.
pub(super) fn set_actor<'a>(record: &mut Record<'a>, envelope: &'a Envelope, who: Option<&'a Actor>) {
    record.actor = Some(actor(envelope, who));
    record.metadata.profiles.host = true;
    record.unmapped.actor_ip = who.and_then(|who| who.ip.as_deref());
    record.unmapped.user_agent = who.and_then(|who| who.user_agent.as_deref());
}

/// Sets the outcome of a record: a failure has low severity, everything else is informational.
pub(super) fn set_outcome<'a>(record: &mut Record<'a>, outcome: &'a Outcome, status: OutcomeStatus) {
    (record.status_id, record.status) = match status {
        OutcomeStatus::Unknown => (0, UNKNOWN),
        OutcomeStatus::Success => (1, "Success"),
        OutcomeStatus::Failure => (2, "Failure"),
    };
    if status == OutcomeStatus::Failure {
        (record.severity_id, record.severity) = (2, "Low");
    }
    record.status_code = outcome.code.as_deref();
    record.status_detail = outcome.message.as_deref();
}

/// The status given by the source or, without one, the status that the kind of event implies.
pub(super) fn told_or(outcome: &Outcome, implied: OutcomeStatus) -> OutcomeStatus {
    match outcome.status {
        OutcomeStatus::Unknown => implied,
        told => told,
    }
}

/// Sets the cloud of a record and the profile `cloud`, if the resource names one.
pub(super) fn set_cloud<'a>(
    record: &mut Record<'a>,
    resource: Option<&'a Resource>,
    account: Option<&'a str>,
) {
    let Some(provider) = resource.and_then(|resource| resource.cloud.as_deref()) else { return };
    let account = resource.and_then(|resource| resource.account.as_deref()).or(account);
    record.cloud = Some(Cloud {
        account: account.map(|uid| Named { name: None, uid: Some(uid) }),
        provider,
        region: resource.and_then(|resource| resource.region.as_deref()),
    });
    record.metadata.profiles.cloud = true;
}

impl<'a> From<&'a Resource> for ResourceDetails<'a> {
    fn from(resource: &'a Resource) -> Self {
        let uid = filled(&resource.id);
        ResourceDetails {
            data: ResourceData {
                account: resource.account.as_deref(),
                environment: resource.environment.as_deref(),
                project: resource.project.as_deref(),
            },
            name: named(resource),
            provider: resource.cloud.as_deref(),
            region: resource.region.as_deref(),
            tags: Tags(Some(&resource.tags)),
            kind: resource.kind.as_deref(),
            uid,
        }
    }
}

/// A resource as one of OCSF's typed objects.
pub(super) fn typed_entity(resource: &Resource, type_id: i32) -> TypedEntity<'_> {
    TypedEntity {
        name: named(resource),
        kind: resource.kind.as_deref().unwrap_or(UNKNOWN),
        type_id,
        uid: filled(&resource.id),
    }
}

/// A resource as OCSF's `device`.
pub(super) fn device(resource: &Resource) -> Device<'_> {
    Device {
        name: named(resource),
        region: resource.region.as_deref(),
        kind: resource.kind.as_deref().unwrap_or(UNKNOWN),
        type_id: if resource.kind.is_some() { 99 } else { 0 },
        uid: filled(&resource.id),
    }
}

/// A resource's name; `Unknown` without name and id, because OCSF requires one of them.
pub(super) fn named(resource: &Resource) -> Option<&str> {
    match resource.name.as_deref() {
        None if resource.id.is_empty() => Some(UNKNOWN),
        name => name,
    }
}

/// The text, unless it is empty.
pub(super) fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_goes_where_its_form_allows() {
        let place = |ip: &str| {
            let actor = Actor { ip: Some(ip.to_owned()), ..Actor::default() };
            let at = endpoint(Some(&actor));
            let own = |text: Option<&str>| text.map(ToOwned::to_owned);
            (own(at.ip), own(at.domain), own(at.name))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(place("192.0.2.7"), (some("192.0.2.7"), None, None));
        assert_eq!(place("2001:db8::7"), (some("2001:db8::7"), None, None));
        assert_eq!(place("ecs.amazonaws.com"), (None, some("ecs.amazonaws.com"), None));
        assert_eq!(place("203.0.113.07"), (None, None, some("203.0.113.07")));
        assert_eq!(place("AWS Internal"), (None, None, some("AWS Internal")));
        assert_eq!(endpoint(None).name, Some(UNKNOWN));
    }
}
