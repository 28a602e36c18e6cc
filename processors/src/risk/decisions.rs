//! Decisions about risk: criticality, watchlists, triage.

use chrono::DateTime;
use rust_decimal::{Decimal, prelude::ToPrimitive};
use schemas::{
    Envelope,
    changes::risk::{Entity, EntityKind, EntityWeight, IncidentTriage, RiskChange, TriageDecision, bounded},
    events::{Governance, GovernanceKind},
};
use uuid::Uuid;

/// Default multiplier of a watchlist, in thousandths.
const DEFAULT_WATCHLIST: i32 = 1500;
/// Allowed multipliers, in thousandths.
const MULTIPLIERS: std::ops::RangeInclusive<i32> = 100..=10_000;
/// Maximum length of a reason, in bytes.
const MAX_REASON_BYTES: usize = 1024;
/// Maximum length of a watchlist's name, in bytes.
const MAX_WATCHLIST_BYTES: usize = 128;
/// Maximum number of rules in one triage.
const MAX_RULES: usize = 1000;

/// The fact of a decision; `None` if it is not about risk. The error names a missing or invalid attribute.
pub(super) fn decision(envelope: &Envelope, event: &Governance) -> Result<Option<RiskChange>, String> {
    match event.kind {
        GovernanceKind::CriticalitySet => {
            let factor_thousandths = criticality(event.decision.as_deref())?;
            weight(envelope, event, "criticality".to_owned(), factor_thousandths).map(Some)
        }
        GovernanceKind::WatchlistChanged => {
            let name = event.attributes.get("watchlist").filter(|name| !name.trim().is_empty());
            let name = name.ok_or("the attribute watchlist is missing")?;
            let factor_thousandths = match event.decision.as_deref() {
                Some("added") => multiplier(event.attributes.get("multiplier").map(String::as_str))?,
                Some("removed") => 1000,
                other => return Err(format!("the decision is {}, not added or removed", told(other))),
            };
            let source = format!("watchlist:{}", bounded(name, MAX_WATCHLIST_BYTES));
            weight(envelope, event, source, factor_thousandths).map(Some)
        }
        // Findings of other kinds are triaged as well, and are not ours.
        GovernanceKind::FindingTriaged if event.subject_kind == "incident" => {
            triage(envelope, event).map(Some)
        }
        _ => Ok(None),
    }
}

fn criticality(decision: Option<&str>) -> Result<i32, String> {
    match decision {
        Some("low") => Ok(500),
        Some("medium") => Ok(1000),
        Some("high") => Ok(1500),
        Some("extreme") => Ok(2000),
        other => Err(format!("the criticality is {}, not low, medium, high or extreme", told(other))),
    }
}

fn multiplier(text: Option<&str>) -> Result<i32, String> {
    let Some(text) = text else { return Ok(DEFAULT_WATCHLIST) };
    let thousandths = Decimal::from_str_exact(text.trim())
        .ok()
        .and_then(|factor| (factor.checked_mul(Decimal::ONE_THOUSAND)?).round().to_i32())
        .filter(|thousandths| MULTIPLIERS.contains(thousandths));
    thousandths.ok_or_else(|| format!("the multiplier {} is no number from 0.1 to 10", told(Some(text))))
}

fn weight(
    envelope: &Envelope,
    event: &Governance,
    weight_source: String,
    factor_thousandths: i32,
) -> Result<RiskChange, String> {
    let expires_at = event.expires_at.filter(|end| *end < DateTime::<chrono::Utc>::MAX_UTC);
    Ok(RiskChange::Weight(Box::new(EntityWeight {
        tenant: envelope.tenant.clone(),
        event_id: envelope.id,
        decided_at: envelope.occurred_at,
        expires_at,
        entity: entity(&event.subject_kind, &event.subject_id)?,
        weight_source,
        factor_thousandths,
        decision: event.decision.clone().unwrap_or_default(),
        reason: reason(event),
        actor: event.actor.id.clone(),
        content_sha256: envelope.content_sha256(),
    })))
}

fn triage(envelope: &Envelope, event: &Governance) -> Result<RiskChange, String> {
    let attribute = |name: &str| {
        event
            .attributes
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| format!("the attribute {name} is missing"))
    };
    let decision = event.decision.as_deref().and_then(TriageDecision::from_name).ok_or_else(|| {
        let known = TriageDecision::ALL.map(TriageDecision::name).join(", ");
        format!("the decision is {}, none of {known}", told(event.decision.as_deref()))
    })?;
    let incident_id = Uuid::try_parse(&event.subject_id)
        .map_err(|_| format!("{} is no incident's id", told(Some(&event.subject_id))))?;
    let mut rules = rules(event.attributes.get("rules").map(String::as_str).unwrap_or_default());
    rules.sort_unstable();
    rules.dedup();
    if decision == TriageDecision::FalsePositive && rules.is_empty() {
        return Err("a false positive names the rules that were wrong in the attribute rules".to_owned());
    }
    Ok(RiskChange::Triage(Box::new(IncidentTriage {
        tenant: envelope.tenant.clone(),
        event_id: envelope.id,
        decided_at: envelope.occurred_at,
        incident_id,
        entity: entity(attribute("entity_kind")?, attribute("entity")?)?,
        decision,
        rules,
        reason: reason(event),
        actor: event.actor.id.clone(),
        content_sha256: envelope.content_sha256(),
    })))
}

/// Ids of rules: a JSON list, or separated by commas.
fn rules(text: &str) -> Vec<String> {
    let listed = serde_json::from_str::<Vec<String>>(text);
    let ids = listed.unwrap_or_else(|_| text.split(',').map(ToOwned::to_owned).collect());
    let ids = ids.iter().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    ids.take(MAX_RULES).collect()
}

fn entity(kind: &str, id: &str) -> Result<Entity, String> {
    let known = EntityKind::from_name(kind).ok_or_else(|| {
        let known = EntityKind::ALL.map(EntityKind::name).join(", ");
        format!("{} is no kind of entity; there are {known}", told(Some(kind)))
    })?;
    Entity::new(known, id).ok_or_else(|| format!("{} names no {}", told(Some(id)), known.name()))
}

fn reason(event: &Governance) -> Option<String> {
    event.reason.as_deref().map(|reason| bounded(reason, MAX_REASON_BYTES))
}

/// Untrusted text, shortened and quoted.
fn told(text: Option<&str>) -> String {
    text.map_or_else(|| "missing".to_owned(), |text| format!("{:?}", bounded(text, 80)))
}
