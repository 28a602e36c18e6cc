//! Governance: a decision changes its subject, Entity Management 3004; waivers are updates of a Compliance
//! Finding 2003, triage is one of a Detection Finding 2004.

use std::borrow::Cow;

use schemas::{
    Envelope,
    events::{Governance, GovernanceKind, OutcomeStatus},
};

use crate::audit::{
    Described,
    class::{Activity, Class, Verb},
    object::{Compliance, FindingInfo, TypedEntity},
    party,
    record::Record,
};

pub(in crate::audit) fn describe<'a>(envelope: &'a Envelope, event: &'a Governance) -> Described<'a> {
    let (class, activity) = classify(event.kind);
    let mut record = Record::new(envelope, class, activity);
    if class == Class::EntityManagement {
        party::set_caller(&mut record, envelope, Some(&event.actor));
        record.entity = Some(entity(event));
        (record.status_id, record.status) = (1, "Success");
    } else {
        party::set_actor(&mut record, envelope, Some(&event.actor));
        record.finding_info = Some(FindingInfo { title: None, uid: Cow::Borrowed(&event.subject_id) });
        record.unmapped.subject_kind = Some(&event.subject_kind);
        (record.status_id, record.status) = finding_status(event);
    }
    if class == Class::ComplianceFinding {
        record.compliance = Some(Compliance { control: &event.subject_id });
    }
    record.comment = event.reason.as_deref();
    record.unmapped.attributes.0 = Some(&event.attributes);
    record.unmapped.decision = event.decision.as_deref();
    record.unmapped.expires_at = event.expires_at.as_ref();
    Described {
        record,
        actor: Some(&event.actor),
        action: event.kind.name(),
        resource_type: Some(&event.subject_kind),
        resource: Some(&event.subject_id),
        other_resources: Vec::new(),
        project: event.attributes.get("project").map(String::as_str),
        // The event says that a decision was made, and it was, whatever was decided.
        outcome: OutcomeStatus::Success,
        outcome_code: None,
    }
}

const fn classify(kind: GovernanceKind) -> (Class, Activity<'static>) {
    let entity = Class::EntityManagement;
    match kind {
        GovernanceKind::ApprovalRequested | GovernanceKind::ApprovalDecided => {
            (entity, Activity::other(kind.name()))
        }
        GovernanceKind::BudgetSet
        | GovernanceKind::CriticalitySet
        | GovernanceKind::WatchlistChanged
        | GovernanceKind::HoldPlaced
        | GovernanceKind::HoldReleased
        | GovernanceKind::SearchSaved => (entity, Verb::Update.entity_activity()),
        GovernanceKind::SubjectErased | GovernanceKind::SearchRemoved => {
            (entity, Verb::Delete.entity_activity())
        }
        GovernanceKind::WaiverGranted | GovernanceKind::WaiverRevoked => {
            (Class::ComplianceFinding, Activity::new(2, "Update"))
        }
        GovernanceKind::FindingTriaged => (Class::DetectionFinding, Activity::new(2, "Update")),
    }
}

fn entity(event: &Governance) -> TypedEntity<'_> {
    let type_id = match event.subject_kind.as_str() {
        "user" | "person" => 2,
        "group" | "team" => 3,
        "policy" => 5,
        _ => 99,
    };
    TypedEntity { name: None, kind: &event.subject_kind, type_id, uid: Some(&event.subject_id) }
}

/// A finding's `status_id` and `status` after the decision.
fn finding_status(event: &Governance) -> (i32, &str) {
    let decision = event.decision.as_deref();
    match (event.kind, decision) {
        (GovernanceKind::WaiverGranted, _) | (_, Some("false_positive" | "suppressed")) => (3, "Suppressed"),
        (GovernanceKind::WaiverRevoked, _) | (_, Some("open" | "reopened")) => (1, "New"),
        (_, Some("acknowledged" | "in_progress")) => (2, "In Progress"),
        (_, Some("closed" | "resolved")) => (4, "Resolved"),
        (_, Some(word)) => (99, word),
        (_, None) => (0, party::UNKNOWN),
    }
}
