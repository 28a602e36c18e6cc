//! Retention: decisions to keep data, or to erase a person's data.

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

/// Turns governance events about legal holds and erasure into decisions.
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

/// The decision of an event; `None` also if the event has no subject: entries without an actor cannot be
/// erased.
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
