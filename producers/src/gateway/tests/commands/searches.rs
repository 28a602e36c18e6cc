//! Commands about saved searches.

use super::*;

const SEARCH: &str = "/api/v1/audit/searches/root%20logins";

#[tokio::test]
async fn a_search_is_saved_and_removed() {
    let running = start().await;
    let filter = json!({"actor": "root", "outcome": "failure", "from": "2026-01-01T01:00:00+01:00"});
    let body = json!({"filter": filter, "reason": "each morning", "on_behalf_of": "ada@example.com"});
    let reply = asked_by("PUT", SEARCH, &body).to(&running).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    let reply = asked_by("DELETE", SEARCH, "").to(&running).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    let decided = |event: Envelope| match event.event {
        Event::Governance(decision) => decision,
        other => panic!("a decision: {other:?}"),
    };
    let decided: Vec<Governance> = running.kafka.published().into_iter().map(decided).collect();
    let [saved, removed] = decided.as_slice() else { panic!("two decisions: {decided:?}") };
    assert_eq!((saved.kind, saved.decision.as_deref()), (GovernanceKind::SearchSaved, Some("saved")));
    assert_eq!((saved.subject_kind.as_str(), saved.subject_id.as_str()), ("saved_search", "root logins"));
    let names: Vec<&str> = attributes(saved).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["actor", "from", "on_behalf_of", "outcome"]);
    assert_eq!(saved.attributes["from"], "2026-01-01T00:00:00Z");
    assert_eq!((removed.kind, removed.subject_id.as_str()), (GovernanceKind::SearchRemoved, "root logins"));
}

#[tokio::test]
async fn a_search_that_cannot_be_saved_is_told_every_fault() {
    let running = start().await;
    for (path, body, expected) in [
        (SEARCH, json!({"filter": {"actor": " ", "limit": 7}}), &["/filter/actor", "/filter/limit"][..]),
        (SEARCH, json!({"filter": []}), &["/filter"]),
        (
            SEARCH,
            json!({"filter": {"outcome": "maybe", "from": "noon"}}),
            &["/filter/outcome", "/filter/from"],
        ),
        (
            SEARCH,
            json!({"filter": {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}}),
            &["/filter/from"],
        ),
        ("/api/v1/audit/searches/%20", json!({}), &["{name}"]),
    ] {
        let reply = asked_by("PUT", path, &body).to(&running).await;
        reply.expect(422, "invalid-command");
        let problem = reply.json();
        let faults = problem["errors"].as_array().expect("the faults, one by one");
        let at: Vec<&str> = faults.iter().filter_map(|fault| fault["at"].as_str()).collect();
        assert_eq!(at, expected, "{body}");
    }
    assert!(running.kafka.published().is_empty());
}
