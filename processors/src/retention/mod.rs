//! Retention: decisions to keep data, to erase a person's data, and to save a search of the log.

use schemas::{
    Envelope, Event,
    changes::{
        RetentionDecision,
        retention::{
            HOLD_NAME, HoldScope, MAX_SEARCH_FILTER_BYTES, MAX_SEARCH_NAME_BYTES, RetentionDecisionKind,
            SEARCH_FILTERS, STAGE,
        },
    },
    events::{Governance, GovernanceKind},
};

use crate::Processor;

#[cfg(test)]
mod tests;

/// Turns governance events about legal holds, erasure and saved searches into decisions.
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
/// erased, and a search without a name, or with a longer one than is kept, cannot be found.
fn decision(envelope: &Envelope, event: &Governance) -> Option<RetentionDecision> {
    let kind = match event.kind {
        GovernanceKind::HoldPlaced => RetentionDecisionKind::HoldPlaced,
        GovernanceKind::HoldReleased => RetentionDecisionKind::HoldReleased,
        GovernanceKind::SubjectErased => RetentionDecisionKind::SubjectErased,
        GovernanceKind::SearchSaved => RetentionDecisionKind::SearchSaved,
        GovernanceKind::SearchRemoved => RetentionDecisionKind::SearchRemoved,
        _ => return None,
    };
    let is_hold = matches!(kind, RetentionDecisionKind::HoldPlaced | RetentionDecisionKind::HoldReleased);
    let is_search = matches!(kind, RetentionDecisionKind::SearchSaved | RetentionDecisionKind::SearchRemoved);
    if is_search && event.subject_id.len() > MAX_SEARCH_NAME_BYTES {
        return None;
    }
    let scope = match kind {
        RetentionDecisionKind::SubjectErased => HoldScope::Person,
        // A search is its tenant's.
        _ if is_search => HoldScope::Tenant,
        _ => HoldScope::of_subject_kind(&event.subject_kind),
    };
    let subject = match scope {
        // Whatever the event says: a tenant decides about its own data.
        HoldScope::Tenant if is_hold => envelope.tenant.as_str(),
        _ => event.subject_id.as_str(),
    };
    let name = event.attributes.get(HOLD_NAME).filter(|_| is_hold);
    let is_saved = kind == RetentionDecisionKind::SearchSaved;
    let filter = event.attributes.iter().filter(|(name, value)| {
        is_saved && SEARCH_FILTERS.contains(&name.as_str()) && value.len() <= MAX_SEARCH_FILTER_BYTES
    });
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
        filter: filter.map(|(name, value)| (name.clone(), value.clone())).collect(),
        content_sha256: envelope.content_sha256(),
    })
}
