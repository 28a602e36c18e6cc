//! Change review: scores proposed changes by their plans, and turns requests, decisions and progress into
//! facts. The state of a change is derived by the read model, since a processor does not see earlier events.

mod attributes;
mod compliance;
mod hazards;
mod holding;
mod manifests;
mod plan;
mod score;
#[cfg(test)]
mod tests;
mod words;

use std::sync::{Arc, LazyLock};

use costs::prices::PriceList;
use policies::InForce;
use schemas::{
    Envelope, Event,
    changes::{
        ChangeFact, Proposal,
        change_review::{ChangeActor, ChangeFactKind, STAGE},
    },
    envelope::native_format,
    events::{
        Actor, DECIDED_PROPOSAL, Governance, GovernanceKind, Infrastructure, InfrastructureKind,
        ON_BEHALF_OF, Outcome, REQUESTED_THROUGH,
    },
};
use serde_json::Value;

use crate::Processor;
use score::Given;
use words::{bounded_id, names_production};

/// Subject kind of governance events about changes.
const SUBJECT_KIND: &str = "change";

/// Turns events about changes into facts: proposals of infrastructure, events with their `change_id`, and
/// requests and decisions whose subject is a `change`. Plans are priced by a price list and evaluated by
/// compliance policies.
#[derive(Debug, Clone)]
pub struct ChangeReview {
    prices: Arc<PriceList>,
    policies: InForce,
}

impl ChangeReview {
    /// A review with this price list and these policies, which may be replaced while it runs.
    pub fn new(prices: Arc<PriceList>, policies: InForce) -> Self {
        Self { prices, policies }
    }
}

impl Default for ChangeReview {
    /// A review with the example price list and Weir's own policies.
    fn default() -> Self {
        static OWN: LazyLock<ChangeReview> =
            LazyLock::new(|| ChangeReview::new(PriceList::shared_examples(), InForce::own()));
        OWN.clone()
    }
}

impl Processor for ChangeReview {
    type Input = Envelope;
    type Change = ChangeFact;
    const NAME: &'static str = STAGE;

    fn process(&self, envelope: &Envelope) -> Vec<ChangeFact> {
        let fact = match &envelope.event {
            Event::Infrastructure(event) => of_infrastructure(envelope, event, self),
            Event::Governance(event) => of_governance(envelope, event),
            _ => None,
        };
        fact.into_iter().collect()
    }
}

fn of_infrastructure(
    envelope: &Envelope,
    event: &Infrastructure,
    review: &ChangeReview,
) -> Option<ChangeFact> {
    let kind = match event.kind {
        InfrastructureKind::ChangeProposed => ChangeFactKind::Proposed,
        InfrastructureKind::Provisioned => ChangeFactKind::Provisioned,
        InfrastructureKind::Scaled => ChangeFactKind::Scaled,
        InfrastructureKind::Failed => ChangeFactKind::Failed,
        InfrastructureKind::Completed => ChangeFactKind::Completed,
        InfrastructureKind::Deleted => ChangeFactKind::Deleted,
        InfrastructureKind::ConfigurationObserved => ChangeFactKind::ConfigurationObserved,
    };
    let proposed = kind == ChangeFactKind::Proposed;
    let named = event.change_id.as_deref().filter(|id| !id.is_empty());
    // A proposal that names no change is one of its own.
    let change_id = match named {
        Some(id) => bounded_id(id),
        None if proposed => envelope.id.to_string(),
        None => return None,
    };
    let resource = &event.resource;
    let Outcome { status, code, .. } = &event.outcome;
    Some(ChangeFact {
        resource: Some(resource.id.clone()),
        project: resource.project.clone(),
        environment: resource.environment.clone(),
        outcome: *status,
        outcome_code: code.clone(),
        proposal: proposed.then(|| Box::new(score(envelope, event, review))),
        ..fact(envelope, (change_id, kind), event.actor.as_ref())
    })
}

fn of_governance(envelope: &Envelope, event: &Governance) -> Option<ChangeFact> {
    let (kind, second_party) = match event.kind {
        GovernanceKind::ApprovalRequested => (ChangeFactKind::ApprovalRequested, REQUESTED_THROUGH),
        GovernanceKind::ApprovalDecided => (ChangeFactKind::ApprovalDecided, ON_BEHALF_OF),
        _ => return None,
    };
    if event.subject_kind != SUBJECT_KIND || event.subject_id.is_empty() {
        return None;
    }
    let named = |attribute: &str| event.attributes.get(attribute).filter(|id| !id.trim().is_empty());
    let proposal = named(DECIDED_PROPOSAL).filter(|_| kind == ChangeFactKind::ApprovalDecided);
    Some(ChangeFact {
        second_party: named(second_party).map(|id| bounded_id(id)),
        decided_proposal: proposal.map(|id| bounded_id(id)),
        project: event.attributes.get("project").cloned(),
        environment: event.attributes.get("environment").cloned(),
        decision: event.decision.clone(),
        reason: event.reason.clone(),
        expires_at: event.expires_at,
        ..fact(envelope, (bounded_id(&event.subject_id), kind), Some(&event.actor))
    })
}

/// The fields of facts of every kind.
fn fact(
    envelope: &Envelope,
    (change_id, kind): (String, ChangeFactKind),
    actor: Option<&Actor>,
) -> ChangeFact {
    let actor = actor.filter(|actor| !actor.id.trim().is_empty());
    ChangeFact {
        event_id: envelope.id,
        tenant: envelope.tenant.clone(),
        change_id,
        occurred_at: envelope.occurred_at,
        kind,
        actor: actor.map(|actor| ChangeActor {
            kind: actor.kind,
            id: bounded_id(&actor.id),
            name: actor.name.clone(),
        }),
        second_party: None,
        resource: None,
        project: None,
        environment: None,
        decision: None,
        decided_proposal: None,
        reason: None,
        expires_at: None,
        outcome: Outcome::default().status,
        outcome_code: None,
        proposal: None,
        content_sha256: envelope.content_sha256(),
    }
}

/// Scores a proposal by its plan and by the environment of its resource.
fn score(envelope: &Envelope, event: &Infrastructure, review: &ChangeReview) -> Proposal {
    let resource = &event.resource;
    let for_production =
        resource.environment.as_deref().is_some_and(|name| score::is_environment("env", Some(name)))
            || resource.name.as_deref().is_some_and(names_production)
            || names_production(&resource.id)
            || resource.tags.iter().any(|(name, value)| score::is_environment(name, Some(value)));
    let native = envelope.native.as_ref().filter(|native| native.format == native_format::TERRAFORM_PLAN);
    // JSON deeper than 128 levels is refused here as cut-short JSON is; no plan of a real provider is.
    let plan: Option<Result<Value, _>> = native.map(|native| serde_json::from_str(&native.record));
    let given = match &plan {
        None => Given::Absent,
        Some(Err(_)) => Given::Unreadable,
        Some(Ok(value)) => Given::Json(value),
    };
    let (estimate, judged) = match given {
        Given::Json(value) => (
            costs::estimate::estimate(value, &review.prices),
            compliance::judge(value, &review.policies.current(), envelope.occurred_at),
        ),
        Given::Absent | Given::Unreadable => (None, None),
    };
    score::completed(score::assess(given, for_production), estimate, judged)
}
