//! Compliance: observed resources with verdicts of the policies in force, applied changes, and waivers.
//!
//! The state of a resource and its findings are derived by the read model, since a processor does not see
//! earlier events. The table of events and the resources they contain is in `docs/compliance.md`.

mod aws_config;
mod azure;
mod cloud;
mod cloudtrail;
mod configuration;
mod github;
mod google;
mod inventory;
mod judge;
mod kubernetes;
mod plan;
mod seen;
#[cfg(test)]
mod tests;
mod waiver;

use std::sync::Arc;

use policies::InForce;
use schemas::{
    Envelope, Event,
    changes::{
        ComplianceChange,
        change_review::ChangeFactKind,
        compliance::{ChangeApplied, Observation, STAGE},
    },
    envelope::native_format,
    events::{Activity, Infrastructure, InfrastructureKind, OutcomeStatus},
};

use self::{
    judge::{Judge, Versions},
    seen::Seen,
};
use crate::Processor;

/// Maximum number of resources taken from one event.
const MAX_RESOURCES: usize = 10_000;

/// Turns events that contain a resource's configuration into observations with verdicts, and governance
/// events about waivers into steps. Clones share the policies in force.
#[derive(Debug, Clone)]
pub struct Compliance {
    policies: InForce,
    versions: Versions,
}

impl Compliance {
    /// A processor with these policies.
    pub fn new(policies: InForce) -> Self {
        Self { policies, versions: Versions::default() }
    }
}

impl Default for Compliance {
    /// A processor with Weir's own policies.
    fn default() -> Self {
        Self::new(InForce::own())
    }
}

impl Processor for Compliance {
    type Input = Envelope;
    type Change = ComplianceChange;
    const NAME: &'static str = STAGE;

    fn rule_set(&self) -> Option<Arc<str>> {
        Some(self.policies.current().set().shared_hash())
    }

    fn process(&self, envelope: &Envelope) -> Vec<ComplianceChange> {
        match &envelope.event {
            Event::Infrastructure(event) => self.of_infrastructure(envelope, event),
            Event::Activity(event) => self.observations(envelope, of_activity(envelope, event)),
            Event::Governance(event) => {
                let fact = waiver::fact(envelope, event);
                fact.map(|fact| ComplianceChange::Waiver(Box::new(fact))).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Compliance {
    fn of_infrastructure(&self, envelope: &Envelope, event: &Infrastructure) -> Vec<ComplianceChange> {
        if event.outcome.status == OutcomeStatus::Failure {
            return Vec::new();
        }
        match event.kind {
            InfrastructureKind::ChangeProposed => plan::read(envelope, event)
                .map(|(plan, seen)| self.judged(envelope, |judge| judge.plan(&plan, seen)))
                .unwrap_or_default(),
            InfrastructureKind::ConfigurationObserved
            | InfrastructureKind::Provisioned
            | InfrastructureKind::Scaled
            | InfrastructureKind::Deleted => self.observations(envelope, of_configuration(envelope, event)),
            InfrastructureKind::Completed => applied(envelope, event).into_iter().collect(),
            InfrastructureKind::Failed => Vec::new(),
        }
    }

    fn observations(&self, envelope: &Envelope, seen: Vec<Seen>) -> Vec<ComplianceChange> {
        if seen.is_empty() {
            return Vec::new();
        }
        self.judged(envelope, |judge| judge.each(seen))
    }

    fn judged(
        &self,
        envelope: &Envelope,
        judged: impl FnOnce(&Judge<'_>) -> Vec<Observation>,
    ) -> Vec<ComplianceChange> {
        let held = self.policies.current();
        let judge = Judge::new(envelope, &held, self.versions.of(&held));
        judged(&judge).into_iter().map(|one| ComplianceChange::Observation(Box::new(one))).collect()
    }
}

/// Resources whose configuration is in an event, in Terraform's names or in those of a cloud's inventory.
fn of_configuration(envelope: &Envelope, event: &Infrastructure) -> Vec<Seen> {
    let Some(native) = &envelope.native else { return configuration::seen(event) };
    match native.format.as_str() {
        native_format::AWS_CONFIG => aws_config::seen(event, native),
        native_format::AZURE_RESOURCE | native_format::GCP_ASSET => inventory::seen(event, native),
        _ => configuration::seen(event),
    }
}

/// Resources in a call. Unsupported calls are not parsed.
fn of_activity(envelope: &Envelope, event: &Activity) -> Vec<Seen> {
    let Some(native) = &envelope.native else { return Vec::new() };
    if event.outcome.status == OutcomeStatus::Failure || event.read_only == Some(true) {
        return Vec::new();
    }
    match native.format.as_str() {
        native_format::CLOUDTRAIL => cloudtrail::seen(event, native),
        native_format::KUBERNETES_AUDIT => kubernetes::seen(event, native),
        native_format::GITHUB_WEBHOOK => github::seen(event, native),
        native_format::GCP_AUDIT => google::seen(event, native),
        native_format::AZURE_ACTIVITY => azure::seen(event, native),
        _ => Vec::new(),
    }
}

/// The change that an event reports as completed; `None` if it was rolled back.
fn applied(envelope: &Envelope, event: &Infrastructure) -> Option<ComplianceChange> {
    let change_id = event.change_id.as_deref().filter(|id| !id.is_empty())?;
    if ChangeFactKind::Completed.reports_rollback(event.outcome.code.as_deref()) {
        return None;
    }
    Some(ComplianceChange::Applied(Box::new(ChangeApplied {
        event_id: envelope.id,
        tenant: envelope.tenant.clone(),
        change_id: seen::bounded_id(change_id),
        applied_at: envelope.occurred_at,
        content_sha256: envelope.content_sha256(),
    })))
}
