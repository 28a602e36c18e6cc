//! Infrastructure: API Activity 6003; an observed configuration is Device Config State Change 5019.

use schemas::{
    Envelope,
    events::{Infrastructure, InfrastructureKind, OutcomeStatus},
};

use crate::audit::{
    Described,
    class::{Activity, Class, Verb},
    object::{Api, Resources},
    party,
    record::Record,
};

pub(in crate::audit) fn describe<'a>(envelope: &'a Envelope, event: &'a Infrastructure) -> Described<'a> {
    let kind = event.kind.name();
    let resource = &event.resource;
    let resources = Resources(std::slice::from_ref(resource));
    let (class, activity) = classify(event.kind);
    let mut record = Record::new(envelope, class, activity);
    if class == Class::ApiActivity {
        party::set_caller(&mut record, envelope, event.actor.as_ref());
        record.api = Some(Api { operation: kind, request: None, response: None, service: None });
        record.resources = resources;
    } else {
        party::set_actor(&mut record, envelope, event.actor.as_ref());
        record.device = Some(party::device(resource));
        record.unmapped.resources = resources;
    }
    let outcome = party::told_or(&event.outcome, implied_outcome(event.kind));
    party::set_outcome(&mut record, &event.outcome, outcome);
    let account = event.actor.as_ref().and_then(|actor| actor.account.as_deref());
    party::set_cloud(&mut record, Some(resource), account);
    record.unmapped.change_id = event.change_id.as_deref();
    record.unmapped.configuration = event.configuration.as_deref();
    record.unmapped.quantity = event.quantity.as_deref();
    record.unmapped.unit = event.unit.as_deref();
    Described {
        record,
        actor: event.actor.as_ref(),
        action: kind,
        resource_type: resource.kind.as_deref(),
        resource: party::filled(&resource.id),
        other_resources: Vec::new(),
        project: resource.project.as_deref(),
        outcome,
        outcome_code: event.outcome.code.as_deref(),
    }
}

const fn classify(kind: InfrastructureKind) -> (Class, Activity<'static>) {
    let api = Class::ApiActivity;
    match kind {
        InfrastructureKind::Provisioned => (api, Verb::Create.api_activity()),
        InfrastructureKind::Scaled => (api, Verb::Update.api_activity()),
        InfrastructureKind::Deleted => (api, Verb::Delete.api_activity()),
        InfrastructureKind::ChangeProposed | InfrastructureKind::Failed | InfrastructureKind::Completed => {
            (api, Activity::other(kind.name()))
        }
        InfrastructureKind::ConfigurationObserved => {
            (Class::DeviceConfigStateChange, Activity::new(2, "Collect"))
        }
    }
}

const fn implied_outcome(kind: InfrastructureKind) -> OutcomeStatus {
    match kind {
        InfrastructureKind::Failed => OutcomeStatus::Failure,
        InfrastructureKind::ChangeProposed | InfrastructureKind::ConfigurationObserved => {
            OutcomeStatus::Unknown
        }
        _ => OutcomeStatus::Success,
    }
}
