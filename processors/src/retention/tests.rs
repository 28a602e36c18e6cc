use schemas::{
    EventId, Source, TenantId,
    events::{Actor, ActorKind},
};

use super::*;

/// Checks the decision of an event about this subject: kind, scope, subject, name.
#[track_caller]
fn check(kind: GovernanceKind, subject: (&str, &str), expected: Option<(&str, &str, &str, &str)>) {
    let (subject_kind, subject_id) = subject;
    let event = Governance {
        kind,
        subject_kind: subject_kind.into(),
        subject_id: subject_id.into(),
        actor: Actor { kind: ActorKind::User, id: "hanna".into(), ..Actor::default() },
        decision: None,
        reason: Some("file 14".into()),
        expires_at: None,
        attributes: [(HOLD_NAME.to_owned(), "2026/14".to_owned())].into(),
    };
    let envelope = Envelope {
        id: EventId::at("2026-03-02T10:00:00Z".parse().expect("a time"), [7; 10]),
        tenant: TenantId::new("acme").expect("valid"),
        source: Source::new("/test").expect("valid"),
        subject: None,
        occurred_at: "2026-03-02T10:00:00Z".parse().expect("a time"),
        skewed: false,
        time_assumed: false,
        original_id: None,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event: Event::Governance(event),
        native: None,
    };
    let found = Retention.process(&envelope);
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.kind.name(), one.scope.name(), one.subject.as_str(), one.name.as_str()))
        .collect();
    assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
}

#[test]
fn holds_and_erasures_are_decisions_and_nothing_else_is() {
    use GovernanceKind::{ApprovalDecided, HoldPlaced, HoldReleased, SubjectErased};
    let held = ("HoldPlaced", "person", "ada", "2026/14");
    check(HoldPlaced, ("user", "ada"), Some(held));
    check(HoldReleased, ("project", "shop"), Some(("HoldReleased", "project", "shop", "2026/14")));
    check(HoldPlaced, ("bucket", "logs"), Some(("HoldPlaced", "resource", "logs", "2026/14")));
    check(HoldPlaced, ("tenant", "other"), Some(("HoldPlaced", "tenant", "acme", "2026/14")));
    check(SubjectErased, ("anything", "ada"), Some(("SubjectErased", "person", "ada", "")));
    check(SubjectErased, ("person", " "), None);
    check(ApprovalDecided, ("user", "ada"), None);
}
