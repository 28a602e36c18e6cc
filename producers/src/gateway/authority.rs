//! Authorisation of events: by scope and family, by source, and never in Weir's own name.

use chrono::SubsecRound;
use schemas::{
    Envelope, Event, Timestamp,
    access::{Principal, Scope},
    events::{
        Actor, ActorKind, Governance, GovernanceKind, InfrastructureKind, ON_BEHALF_OF, REQUESTED_THROUGH,
    },
};

/// The beginning of the types that only Weir defines. One that it does not know would pass for a decision of a later version.
const OWN_TYPES: &str = "io.weir.";
/// Longest id of what is decided about, in bytes: it is a key, whose size Postgres limits.
const MAX_SUBJECT_BYTES: usize = 1_024;

/// The authority that events are published under.
#[derive(Debug, Clone, Copy)]
pub(super) enum Authority<'a> {
    /// The holder of a credential.
    Principal(&'a Principal),
    /// A tenant's webhook secret, which covers events but not decisions.
    Webhook,
}

impl Authority<'_> {
    fn may(self, scope: Scope) -> bool {
        match self {
            Self::Principal(principal) => principal.may(scope),
            Self::Webhook => scope == Scope::EventsWrite,
        }
    }

    /// The event, if the sender may publish it; otherwise the reason why not.
    ///
    /// A decision is attributed to the principal: the actor that the event names is kept as the person it
    /// claims to act for. A request may name the person who asks. A proposal, a request, an approval, a
    /// waiver and its end count from now, by the gateway's clock.
    pub(super) fn authorise(self, mut event: Envelope, now: Timestamp) -> Result<Envelope, String> {
        if event.source.is_reserved() {
            return Err(format!("the source {} is reserved for Weir itself", event.source.as_str()));
        }
        if let Event::Activity(call) = &event.event
            && call.action.trim().to_lowercase().starts_with(OWN_TYPES)
        {
            return Err(format!("{} is reserved for types of Weir itself, and none of them", call.action));
        }
        if let Event::Governance(decision) = &event.event
            && decision.subject_id.len() > MAX_SUBJECT_BYTES
        {
            return Err(format!("subject_id is longer than {MAX_SUBJECT_BYTES} bytes"));
        }
        let topic = event.event.topic();
        let missing = match Scope::to_publish(topic) {
            None => return Err(format!("events of {topic} are written by Weir itself")),
            Some(needed) => needed.iter().find(|scope| !self.may(**scope)),
        };
        if let Some(scope) = missing {
            let instead = match &event.event {
                Event::Governance(_) => "; decisions come in as commands",
                _ => "",
            };
            return Err(format!("{} needs the scope {}{instead}", event.event.ce_type(), scope.name()));
        }
        if let Self::Principal(principal) = self {
            if !principal.may_publish_for(&event.source) {
                return Err(format!("{} may not publish for this source", principal.id()));
            }
            if let Event::Governance(decision) = &mut event.event {
                claim(decision, principal);
            }
        }
        if counts_from_now(&event.event) {
            event.occurred_at = now.trunc_subsecs(6);
            (event.time_assumed, event.skewed) = (true, false);
        }
        Ok(event)
    }
}

/// Whether the event counts from when the gateway took it. Read models fold proposals, requests and decisions
/// in the order of time: one that its publisher dates back would slip under an approval of something else.
fn counts_from_now(event: &Event) -> bool {
    match event {
        Event::Infrastructure(change) => change.kind == InfrastructureKind::ChangeProposed,
        Event::Governance(decision) => matches!(
            decision.kind,
            GovernanceKind::ApprovalRequested
                | GovernanceKind::ApprovalDecided
                | GovernanceKind::WaiverGranted
                | GovernanceKind::WaiverRevoked
        ),
        _ => false,
    }
}

/// Sets a person as the requester, with the principal that acts for them. Neither of them may approve.
pub(super) fn ask_for(request: &mut Governance, principal: &Principal, person: String) {
    let through = principal.actor().id;
    let session = Some(principal.id().into_owned());
    if person != through {
        request.attributes.insert(REQUESTED_THROUGH.to_owned(), through);
    }
    request.actor = Actor { kind: ActorKind::User, id: person, session, ..Actor::default() };
}

/// Sets the principal as the actor; a request may name a person whom it acts for.
fn claim(decision: &mut Governance, principal: &Principal) {
    let named = std::mem::replace(&mut decision.actor, principal.actor());
    decision.attributes.remove(REQUESTED_THROUGH);
    if decision.kind == GovernanceKind::ApprovalRequested && !named.id.trim().is_empty() {
        return ask_for(decision, principal, named.id);
    }
    if !named.id.is_empty() && named.id != decision.actor.id {
        decision.attributes.entry(ON_BEHALF_OF.to_owned()).or_insert(named.id);
    }
}
