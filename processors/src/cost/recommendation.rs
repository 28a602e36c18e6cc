//! Decisions about recommendations: `accepted`, `dismissed` or `reopened`.

use schemas::{
    Envelope,
    changes::cost::{RECOMMENDATION_SUBJECT, RecommendationDecision, RecommendationFact},
    events::{Governance, GovernanceKind},
};

/// Longest word of a decision that a fault quotes, in bytes.
const MAX_QUOTED_BYTES: usize = 64;

pub(super) fn decision(envelope: &Envelope, event: &Governance) -> Option<RecommendationFact> {
    if event.kind != GovernanceKind::FindingTriaged
        || event.subject_kind != RECOMMENDATION_SUBJECT
        || event.subject_id.is_empty()
    {
        return None;
    }
    let word = event.decision.as_deref().map(str::trim).unwrap_or_default();
    let unknown = || {
        let end = word.floor_char_boundary(MAX_QUOTED_BYTES);
        format!("the decision {:?} is none of accepted, dismissed, reopened", &word[..end])
    };
    Some(RecommendationFact {
        event_id: envelope.id,
        tenant: envelope.tenant.clone(),
        recommendation: event.subject_id.clone(),
        decided_at: envelope.occurred_at,
        actor: event.actor.id.clone(),
        reason: event.reason.clone(),
        decision: RecommendationDecision::from_name(word).ok_or_else(unknown),
        content_sha256: envelope.content_sha256(),
    })
}
