//! Findings open, close and open again, and each leaves once as an OCSF Compliance Finding.

use schemas::{Envelope, changes::compliance::PolicySeverity};
use serde_json::{Value, json};
use sinks::{
    query_api::FindingsPage,
    read_models::compliance::read::{FindingItem, FindingStatus},
};

use super::fixture::{Place, completed, deleted, hour, plan_of, planned, unknown, volume};
use crate::{query_api::fixture::Api, support::corpus::corpus};

/// The findings that wait in the outbox: transition and status; empties it.
async fn told(place: &mut Place) -> Vec<Value> {
    let values: Vec<Vec<u8>> = sqlx::query_scalar(
        "WITH gone AS (DELETE FROM outbox RETURNING *) SELECT value FROM gone ORDER BY topic, partition, number",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("the outbox");
    values.iter().map(|value| serde_json::from_slice(value).expect("JSON")).collect()
}

fn transitions(findings: &[Value]) -> Vec<(&str, &str)> {
    findings.iter().map(transition).collect()
}

fn transition(finding: &Value) -> (&str, &str) {
    let (transition, status) = (&finding["unmapped"]["transition"], &finding["compliance"]["status"]);
    (transition.as_str().expect("a word"), status.as_str().expect("a word"))
}

#[tokio::test]
async fn a_finding_opens_closes_and_opens_again() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    member.deliver(&[volume(1, "a-1", false, hour(0))]).await;
    assert_eq!(transitions(&told(&mut place).await), [("opened", "Fail")]);
    member.deliver(&[volume(2, "a-1", false, hour(1)), unknown(3, "a-1", hour(2))]).await;
    assert_eq!(
        transitions(&told(&mut place).await),
        [],
        "it is open already, and the unknown closes nothing"
    );
    member.deliver(&[volume(4, "a-1", true, hour(3))]).await;
    assert_eq!(transitions(&told(&mut place).await), [("closed", "Pass")]);
    member.deliver(&[volume(5, "a-1", false, hour(4))]).await;
    assert_eq!(transitions(&told(&mut place).await), [("reopened", "Fail")]);
    member.deliver(&[deleted(6, "a-1", hour(5))]).await;
    assert_eq!(transitions(&told(&mut place).await), [("closed", "Unknown")]);
    member.deliver(&[volume(1, "a-1", false, hour(0)), volume(5, "a-1", false, hour(4))]).await;
    assert_eq!(transitions(&told(&mut place).await), [], "duplicates say nothing");
}

#[tokio::test]
async fn what_is_told_is_a_compliance_finding_of_ocsf() {
    let Some(corpus) = corpus("ocsf_schema") else { return };
    let file = corpus.path().join("ocsf_schema/ocsf-1.8.0.schema.json");
    let schema = serde_json::from_str(&std::fs::read_to_string(file).expect("readable")).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let life = [
        volume(1, "a-1", false, hour(0)),
        volume(2, "a-1", true, hour(1)),
        volume(3, "b-1", false, hour(0)),
        deleted(4, "b-1", hour(1)),
    ];
    for event in life {
        member.deliver(&[event]).await;
    }
    let findings = told(&mut place).await;
    assert_eq!(findings.len(), 4);
    for finding in &findings {
        let faults: Vec<String> = schema
            .iter_errors(finding)
            .map(|fault| format!("{}: {fault:.300}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{faults:#?}\n{finding}");
        assert_eq!(finding["class_uid"], 2003);
        assert_eq!(finding["type_uid"], 200_300 + finding["activity_id"].as_i64().expect("a number"));
    }
}

async fn findings(api: &Api, query: &str) -> Vec<FindingItem> {
    let page: FindingsPage = api.get("acme", &format!("/api/v1/compliance/findings?{query}")).await;
    page.items
}

async fn delivered(events: &[Envelope]) -> Api {
    let api = Api::start().await;
    Place::at(api.database.clone()).await.member(0).await.deliver(events).await;
    api
}

#[tokio::test]
async fn clocks_run_by_the_time_of_events() {
    let api = delivered(&[
        volume(1, "a-1", false, hour(0)),
        volume(2, "a-1", true, hour(10)),
        volume(3, "a-1", false, hour(20)),
        volume(4, "b-1", false, hour(1)),
    ])
    .await;
    let now = findings(&api, "as_of=2026-03-02T00:00:00Z").await;
    let told: Vec<_> =
        now.iter().map(|item| (item.resource.as_str(), item.status, item.reopened, item.overdue)).collect();
    assert_eq!(told, [("a-1", FindingStatus::Open, 1, false), ("b-1", FindingStatus::Open, 0, false)]);
    assert_eq!(now[0].severity, PolicySeverity::High);
    assert_eq!((now[0].due_at - now[0].opened_at).num_days(), 30);
    assert_eq!(now[0].opened_at, hour(20));
    let between = findings(&api, "as_of=2026-03-01T15:00:00Z&status=closed").await;
    assert_eq!((between.len(), between[0].closed_at), (1, Some(hour(10))));
    let before = findings(&api, "as_of=2026-03-01T05:00:00Z&resource=a-1").await;
    assert_eq!((before[0].status, before[0].closed_at, before[0].reopened), (FindingStatus::Open, None, 0));
    let late = findings(&api, "as_of=2026-04-10T00:00:00Z&overdue=true").await;
    assert_eq!(late.len(), 2);
    assert_eq!(findings(&api, "as_of=2026-04-10T00:00:00Z&overdue=false").await.len(), 0);
    let first: FindingsPage = api.get("acme", "/api/v1/compliance/findings?limit=1").await;
    let rest = format!("/api/v1/compliance/findings?limit=1&cursor={}", first.next_cursor.expect("more"));
    let second: FindingsPage = api.get("acme", &rest).await;
    assert_eq!((first.items[0].resource.as_str(), second.items[0].resource.as_str()), ("a-1", "b-1"));
    let foreign: FindingsPage = api.get("other", "/api/v1/compliance/findings").await;
    assert!(foreign.items.is_empty());
}

#[tokio::test]
async fn a_plan_counts_from_when_its_change_is_completed() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    member.deliver(&[planned(1, "c", Some(false), hour(0)), planned(2, "c", Some(true), hour(3))]).await;
    assert_eq!(place.dump("compliance_state").await.len(), 0, "a proposal alone is no state");
    member.deliver(&[completed(3, "c", hour(1))]).await;
    assert_eq!(transitions(&told(&mut place).await), [("opened", "Fail")], "the plan before it was applied");
    member.deliver(&[completed(4, "c", hour(4))]).await;
    assert_eq!(transitions(&told(&mut place).await), [("closed", "Pass")]);
    member.deliver(&[planned(5, "d", None, hour(5)), completed(6, "d", hour(6))]).await;
    let states = place.dump("compliance_state").await;
    assert_eq!(states.len(), 3);
    assert!(states.iter().any(|row| row.contains("\"verdicts_key\": null")), "{states:?}");
}

#[tokio::test]
async fn what_a_plan_moves_leaves_its_address_and_what_it_forgets_goes_on() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    member.deliver(&[planned(1, "c", Some(false), hour(0)), completed(2, "c", hour(1))]).await;
    assert_eq!(transitions(&told(&mut place).await), [("opened", "Fail")]);
    let forgotten = json!({
        "address": "aws_ebs_volume.planned", "mode": "managed", "type": "aws_ebs_volume", "name": "planned",
        "change": {"actions": ["forget"], "before": {"encrypted": false}, "after": null, "after_unknown": {}}});
    member.deliver(&[plan_of(3, "d", &forgotten, hour(2)), completed(4, "d", hour(3))]).await;
    assert_eq!(transitions(&told(&mut place).await), [], "it exists and is not encrypted");
    let moved = json!({
        "address": "aws_ebs_volume.moved", "previous_address": "aws_ebs_volume.planned", "mode": "managed",
        "type": "aws_ebs_volume", "name": "moved",
        "change": {"actions": ["no-op"], "before": {"encrypted": false}, "after": {"encrypted": false},
                   "after_unknown": {}}});
    member.deliver(&[plan_of(5, "e", &moved, hour(4)), completed(6, "e", hour(5))]).await;
    let findings = told(&mut place).await;
    let mut found = transitions(&findings);
    found.sort_unstable();
    assert_eq!(found, [("closed", "Unknown"), ("opened", "Fail")]);
}
