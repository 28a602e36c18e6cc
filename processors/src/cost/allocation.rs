//! Decisions about allocation rules: the attribute `rules` is a JSON list of rules; the decision `removed`
//! removes them.

use schemas::{
    Envelope,
    changes::cost::{ALLOCATION_SUBJECT, AllocationDecision, AllocationFact, allocation_rules},
    events::{Governance, GovernanceKind},
};

pub(super) fn allocation(envelope: &Envelope, event: &Governance) -> Option<AllocationFact> {
    if event.kind != GovernanceKind::BudgetSet || event.subject_kind != ALLOCATION_SUBJECT {
        return None;
    }
    let decision = match event.decision.as_deref().map(str::trim) {
        Some("removed") => AllocationDecision::Removed,
        _ => match event.attributes.get("rules").map(|text| allocation_rules(text)) {
            Some(Ok(rules)) => AllocationDecision::Set(rules),
            Some(Err(fault)) => AllocationDecision::Unreadable(fault),
            None => AllocationDecision::Unreadable("there are no rules".to_owned()),
        },
    };
    Some(AllocationFact {
        event_id: envelope.id,
        tenant: envelope.tenant.clone(),
        decided_at: envelope.occurred_at,
        actor: event.actor.id.clone(),
        reason: event.reason.clone(),
        decision,
        content_sha256: envelope.content_sha256(),
    })
}
