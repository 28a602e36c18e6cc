//! Retention: which decisions say that data must be kept, or that a person's data must go.

use schemas::{
    Envelope, Event,
    changes::{
        RetentionDecision,
        retention::{HOLD_NAME, HoldScope, RetentionDecisionKind, STAGE},
    },
    events::{Governance, GovernanceKind},
};

use crate::Processor;

#[cfg(test)]
mod tests;

/// Makes decisions about data of the governance events that hold, release and erase.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention;

impl Processor for Retention {
    type Input = Envelope;
    type Change = RetentionDecision;
    const NAME: &'static str = STAGE;

    fn process(&self, envelope: &Envelope) -> Vec<RetentionDecision> {
        let Event::Governance(event) = &envelope.event else { return Vec::new() };
        decision(envelope, event).into_iter().collect()
    }
}

/// `None` also where the event names nobody: what has no actor is nobody's to be erased.
fn decision(envelope: &Envelope, event: &Governance) -> Option<RetentionDecision> {
    let kind = match event.kind {
        GovernanceKind::HoldPlaced => RetentionDecisionKind::HoldPlaced,
        GovernanceKind::HoldReleased => RetentionDecisionKind::HoldReleased,
        GovernanceKind::SubjectErased => RetentionDecisionKind::SubjectErased,
        _ => return None,
    };
    let is_erasure = kind == RetentionDecisionKind::SubjectErased;
    let scope = if is_erasure { HoldScope::Person } else { HoldScope::of_subject_kind(&event.subject_kind) };
    let subject = match scope {
        // Whatever the event says: a tenant decides about its own data.
        HoldScope::Tenant => envelope.tenant.as_str(),
        _ => event.subject_id.as_str(),
    };
    let name = event.attributes.get(HOLD_NAME).filter(|_| !is_erasure);
    (!subject.trim().is_empty()).then(|| RetentionDecision {
        event_id: envelope.id,
        tenant: envelope.tenant.clone(),
        decided_at: envelope.occurred_at,
        kind,
        scope,
        subject: subject.to_owned(),
        name: name.cloned().unwrap_or_default(),
        actor: event.actor.id.clone(),
        reason: event.reason.clone(),
        content_sha256: envelope.content_sha256(),
    })
}
