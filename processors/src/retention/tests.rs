use schemas::{
    EventId, Source, TenantId,
    events::{Actor, ActorKind},
};

use super::*;
use GovernanceKind::{ApprovalDecided, HoldPlaced, HoldReleased, SearchRemoved, SearchSaved, SubjectErased};

/// Checks the decision of an event about this subject: kind, scope, subject, name.
#[track_caller]
fn check(kind: GovernanceKind, subject: (&str, &str), expected: Option<(&str, &str, &str, &str)>) {
    let found = Retention.process(&envelope(kind, subject));
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.kind.name(), one.scope.name(), one.subject.as_str(), one.name.as_str()))
        .collect();
    assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
}

fn envelope(kind: GovernanceKind, subject: (&str, &str)) -> Envelope {
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
    Envelope {
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
    }
}

#[test]
fn holds_and_erasures_are_decisions_and_nothing_else_is() {
    let held = ("HoldPlaced", "person", "ada", "2026/14");
    check(HoldPlaced, ("user", "ada"), Some(held));
    check(HoldReleased, ("project", "shop"), Some(("HoldReleased", "project", "shop", "2026/14")));
    check(HoldPlaced, ("bucket", "logs"), Some(("HoldPlaced", "resource", "logs", "2026/14")));
    check(HoldPlaced, ("tenant", "other"), Some(("HoldPlaced", "tenant", "acme", "2026/14")));
    check(SubjectErased, ("anything", "ada"), Some(("SubjectErased", "person", "ada", "")));
    check(SubjectErased, ("person", " "), None);
    check(ApprovalDecided, ("user", "ada"), None);
}

#[test]
fn a_search_is_saved_with_the_filters_that_there_are() {
    let long = "x".repeat(MAX_SEARCH_NAME_BYTES + 1);
    check(SearchSaved, ("saved_search", "root logins"), Some(("SearchSaved", "tenant", "root logins", "")));
    check(SearchRemoved, ("anything", "root logins"), Some(("SearchRemoved", "tenant", "root logins", "")));
    check(SearchSaved, ("saved_search", " "), None);
    check(SearchSaved, ("saved_search", &long), None);
    let filters = |kind: GovernanceKind, given: &[(&str, &str)]| {
        let mut envelope = envelope(kind, ("saved_search", "root logins"));
        let Event::Governance(event) = &mut envelope.event else { unreachable!("a decision") };
        event.attributes = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Retention.process(&envelope).remove(0).filter.into_iter().collect::<Vec<_>>()
    };
    let long = "x".repeat(MAX_SEARCH_FILTER_BYTES + 1);
    let given = [("actor", "root"), ("text", long.as_str()), ("on_behalf_of", "ada"), ("limit", "7")];
    assert_eq!(filters(SearchSaved, &given), [("actor".to_owned(), "root".to_owned())]);
    assert_eq!(filters(SearchRemoved, &given), []);
}
