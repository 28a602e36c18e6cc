//! Delivery: Application Lifecycle 6002. The application is the project; its feature is the run.

use schemas::{
    Envelope,
    events::{Delivery, DeliveryKind, OutcomeStatus},
};

use crate::audit::{
    Described,
    class::{Activity, Class},
    object::{Named, Product},
    party,
    record::Record,
};

/// Largest integer that every JSON parser keeps exactly, 2^53 − 1.
const MAX_EXACT: i64 = (1 << 53) - 1;

pub(in crate::audit) fn describe<'a>(envelope: &'a Envelope, event: &'a Delivery) -> Described<'a> {
    let mut record = Record::new(envelope, Class::ApplicationLifecycle, activity(event.kind));
    let outcome = party::told_or(&event.outcome, implied_outcome(event.kind));
    party::set_actor(&mut record, envelope, event.actor.as_ref());
    party::set_outcome(&mut record, &event.outcome, outcome);
    record.app = Some(app(event));
    match event.duration_ms {
        Some(ms) if (0..=MAX_EXACT).contains(&ms) => record.duration = Some(ms),
        odd => record.unmapped.duration_ms = odd.map(|ms| ms.to_string()),
    }
    record.unmapped.environment = event.environment.as_deref();
    record.unmapped.status = event.status.as_deref();
    let (resource_type, resource) = subject(event);
    Described {
        record,
        actor: event.actor.as_ref(),
        action: event.kind.name(),
        resource_type: Some(resource_type),
        resource: Some(resource),
        other_resources: Vec::new(),
        project: Some(&event.project),
        outcome,
        outcome_code: event.outcome.code.as_deref(),
    }
}

fn app(event: &Delivery) -> Product<'_> {
    let run = event.run_id.is_some() || event.name.is_some();
    Product {
        feature: run.then_some(Named { name: event.name.as_deref(), uid: event.run_id.as_deref() }),
        uid: Some(&event.project),
        version: event.version.as_deref(),
        ..Product::default()
    }
}

/// Activity of an event. An environment's creation is that of the application's; a deployment has changed the
/// application when it is finished, not before.
const fn activity(kind: DeliveryKind) -> Activity<'static> {
    match kind {
        DeliveryKind::ProjectCreated | DeliveryKind::EnvironmentCreated => Activity::new(1, "Install"),
        DeliveryKind::ProjectDeleted => Activity::new(2, "Remove"),
        DeliveryKind::PipelineStarted | DeliveryKind::JobStarted => Activity::new(3, "Start"),
        DeliveryKind::PipelineFinished | DeliveryKind::JobFinished | DeliveryKind::JobFailed => {
            Activity::new(4, "Stop")
        }
        DeliveryKind::ProjectUpdated
        | DeliveryKind::ProjectStatusChanged
        | DeliveryKind::DeploymentFinished
        | DeliveryKind::DeploymentRolledBack => Activity::new(8, "Update"),
        DeliveryKind::DeploymentStarted | DeliveryKind::JobQueued => Activity::other(kind.name()),
    }
}

const fn implied_outcome(kind: DeliveryKind) -> OutcomeStatus {
    match kind {
        DeliveryKind::JobFailed => OutcomeStatus::Failure,
        DeliveryKind::ProjectCreated
        | DeliveryKind::ProjectUpdated
        | DeliveryKind::ProjectDeleted
        | DeliveryKind::ProjectStatusChanged
        | DeliveryKind::EnvironmentCreated => OutcomeStatus::Success,
        _ => OutcomeStatus::Unknown,
    }
}

/// Type and id of the event's subject.
fn subject(event: &Delivery) -> (&'static str, &str) {
    let project = event.project.as_str();
    let run = event.run_id.as_deref().unwrap_or(project);
    match event.kind {
        DeliveryKind::ProjectCreated
        | DeliveryKind::ProjectUpdated
        | DeliveryKind::ProjectDeleted
        | DeliveryKind::ProjectStatusChanged => ("project", project),
        DeliveryKind::EnvironmentCreated => ("environment", event.environment.as_deref().unwrap_or(project)),
        DeliveryKind::PipelineStarted | DeliveryKind::PipelineFinished => ("pipeline", run),
        DeliveryKind::DeploymentStarted
        | DeliveryKind::DeploymentFinished
        | DeliveryKind::DeploymentRolledBack => ("deployment", run),
        DeliveryKind::JobQueued
        | DeliveryKind::JobStarted
        | DeliveryKind::JobFinished
        | DeliveryKind::JobFailed => ("job", run),
    }
}
