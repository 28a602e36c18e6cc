//! Steps of waivers: requested, granted, refused, revoked.
//!
//! A request contains the terms: the attributes `owner`, `policies` and `resources` (JSON lists of ids), and
//! `expires_at`. The read model decides whether a step counts.

use std::collections::BTreeSet;

use schemas::{
    Envelope,
    changes::{
        compliance::{
            MAX_WAIVER_DAYS, MAX_WAIVER_POLICIES, MAX_WAIVER_RESOURCES, WAIVER_OWNER, WAIVER_POLICIES,
            WAIVER_REQUESTED_BY, WAIVER_RESOURCES, WAIVER_SUBJECT, WaiverFact, WaiverStep, WaiverTerms,
        },
        risk::bounded,
    },
    events::{Governance, GovernanceKind, ON_BEHALF_OF, REQUESTED_THROUGH},
};

use super::seen::bounded_id;

/// Maximum length of a reason, in bytes.
const MAX_REASON_BYTES: usize = 1_024;

pub(super) fn fact(envelope: &Envelope, event: &Governance) -> Option<WaiverFact> {
    if event.subject_kind != WAIVER_SUBJECT || event.subject_id.trim().is_empty() {
        return None;
    }
    let told = |name: &str| {
        event.attributes.get(name).filter(|text| !text.trim().is_empty()).map(|text| bounded_id(text))
    };
    let granted = || WaiverStep::Granted { requested_by: told(WAIVER_REQUESTED_BY) };
    let (step, second_party) = match event.kind {
        GovernanceKind::ApprovalRequested => {
            (WaiverStep::Requested(terms(envelope, event)), REQUESTED_THROUGH)
        }
        GovernanceKind::ApprovalDecided => match event.decision.as_deref().map(str::trim) {
            Some("approved") => (granted(), ON_BEHALF_OF),
            _ => (WaiverStep::Rejected, ON_BEHALF_OF),
        },
        GovernanceKind::WaiverGranted => (granted(), ON_BEHALF_OF),
        GovernanceKind::WaiverRevoked => (WaiverStep::Revoked, ON_BEHALF_OF),
        _ => return None,
    };
    Some(WaiverFact {
        event_id: envelope.id,
        tenant: envelope.tenant.clone(),
        waiver: bounded_id(&event.subject_id),
        decided_at: envelope.occurred_at,
        step,
        actor: bounded_id(&event.actor.id),
        second_party: told(second_party),
        reason: event.reason.as_deref().map(|reason| bounded(reason, MAX_REASON_BYTES)),
        content_sha256: envelope.content_sha256(),
    })
}

fn terms(envelope: &Envelope, event: &Governance) -> Result<WaiverTerms, String> {
    let owner = event.attributes.get(WAIVER_OWNER).filter(|owner| !owner.trim().is_empty());
    let owner = owner.ok_or("it names no owner")?;
    if event.reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
        return Err("it gives no reason".into());
    }
    let expires_at = event.expires_at.ok_or("it has no end (`expires_at`)")?;
    if expires_at <= envelope.occurred_at {
        return Err("its end lies in the past".into());
    }
    if (expires_at - envelope.occurred_at).num_days() > MAX_WAIVER_DAYS {
        return Err(format!("it holds for more than {MAX_WAIVER_DAYS} days"));
    }
    Ok(WaiverTerms {
        owner: bounded_id(owner),
        policies: ids(event, WAIVER_POLICIES, MAX_WAIVER_POLICIES)?,
        resources: ids(event, WAIVER_RESOURCES, MAX_WAIVER_RESOURCES)?,
        expires_at,
    })
}

fn ids(event: &Governance, name: &str, most: usize) -> Result<Vec<String>, String> {
    let text = event.attributes.get(name).ok_or_else(|| format!("it names no {name}"))?;
    let listed: Vec<String> =
        serde_json::from_str(text).map_err(|_| format!("`{name}` is no JSON list of texts"))?;
    if listed.is_empty() || listed.len() > most {
        return Err(format!("`{name}` must name 1 to {most} ids"));
    }
    if let Some((id, why)) = listed.iter().find_map(|id| Some((id, WaiverTerms::not_an_id(id)?))) {
        return Err(format!("{:?} in `{name}` {why}", bounded(id, 80)));
    }
    let each: BTreeSet<String> = listed.iter().map(|id| bounded_id(id)).collect();
    Ok(each.into_iter().collect())
}
