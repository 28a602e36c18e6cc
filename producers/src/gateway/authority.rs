//! What a sender may publish: by scope and family, for its sources, and never in Weir's own name.

use chrono::SubsecRound;
use schemas::{
    Envelope, Event, Timestamp,
    access::{Principal, Scope},
    events::{Actor, ActorKind, Governance, GovernanceKind, ON_BEHALF_OF, REQUESTED_THROUGH},
};

/// In whose right events are published.
#[derive(Debug, Clone, Copy)]
pub(super) enum Authority<'a> {
    /// The holder of a credential.
    Principal(&'a Principal),
    /// Whoever has a tenant's webhook secret: good for events, not for decisions.
    Webhook,
}

impl Authority<'_> {
    fn may(self, scope: Scope) -> bool {
        match self {
            Self::Principal(principal) => principal.may(scope),
            Self::Webhook => scope == Scope::EventsWrite,
        }
    }

    /// The event, if the sender may publish it; else why not.
    ///
    /// A decision becomes the principal's own: whoever the event names as its actor is kept as the one it claims to
    /// speak for, and an approval, a waiver or its end counts from now, by this gateway's clock. A person may be named who asks.
    pub(super) fn authorise(self, mut event: Envelope, now: Timestamp) -> Result<Envelope, String> {
        if event.source.is_reserved() {
            return Err(format!(
                "the source {} is reserved: it stands for Weir itself",
                event.source.as_str()
            ));
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
                let counts_from_now = [
                    GovernanceKind::ApprovalDecided,
                    GovernanceKind::WaiverGranted,
                    GovernanceKind::WaiverRevoked,
                ];
                if counts_from_now.contains(&decision.kind) {
                    event.occurred_at = now.trunc_subsecs(6);
                    (event.time_assumed, event.skewed) = (true, false);
                }
            }
        }
        Ok(event)
    }
}

/// Makes a person the one who asks, through a principal that speaks for them. Neither may approve.
pub(super) fn ask_for(request: &mut Governance, principal: &Principal, person: String) {
    let through = principal.actor().id;
    let session = Some(principal.id().into_owned());
    if person != through {
        request.attributes.insert(REQUESTED_THROUGH.to_owned(), through);
    }
    request.actor = Actor { kind: ActorKind::User, id: person, session, ..Actor::default() };
}

/// Makes the principal the one who decided; who asks may be somebody whom it speaks for.
fn claim(decision: &mut Governance, principal: &Principal) {
    let named = std::mem::replace(&mut decision.actor, principal.actor());
    decision.attributes.remove(REQUESTED_THROUGH);
    if decision.kind == GovernanceKind::ApprovalRequested && !named.id.is_empty() {
        return ask_for(decision, principal, named.id);
    }
    if !named.id.is_empty() && named.id != decision.actor.id {
        decision.attributes.entry(ON_BEHALF_OF.to_owned()).or_insert(named.id);
    }
}
