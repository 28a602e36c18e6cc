//! Incidents: opened, told, decided about, opened again; and the same after a rebuild.

use schemas::{
    Topic,
    changes::risk::{SignalLevel, TriageDecision},
};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::fixture::{Event, Place, events, fact, signal, triage, user};
use crate::support::projection::shuffled;

const HOUR: i64 = 3600;

/// Topic, key, value and headers.
type OutboxRow = (String, Vec<u8>, Vec<u8>, Json<Value>);

/// Records in the outbox, in order: OCSF activity, status and number of tactics; empties it.
async fn told(place: &mut Place) -> Vec<(i64, String, usize)> {
    let rows: Vec<OutboxRow> = sqlx::query_as(
        "WITH gone AS (DELETE FROM outbox RETURNING *)
         SELECT to_topic, key, value, headers FROM gone ORDER BY topic, partition, number",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("the outbox");
    let one = |(topic, key, value, headers): OutboxRow| {
        assert_eq!((topic.as_str(), key.as_slice()), (Topic::Findings.name(), b"acme/ada".as_slice()));
        let finding: Value = serde_json::from_slice(&value).expect("JSON");
        let headers = headers.0.to_string();
        assert!(headers.contains(finding["metadata"]["uid"].as_str().expect("an id")), "ce_id: {headers}");
        assert_eq!(finding["type_uid"], 200_400 + finding["activity_id"].as_i64().expect("a number"));
        let tactics = finding["finding_info"]["attacks"].as_array().expect("attacks");
        let tactics = tactics.iter().filter(|attack| attack.get("tactic").is_some()).count();
        (
            finding["activity_id"].as_i64().expect("a number"),
            finding["status"].as_str().expect("a word").into(),
            tactics,
        )
    };
    rows.into_iter().map(one).collect()
}

async fn incident(place: &mut Place) -> (Uuid, String, bool) {
    sqlx::query_as("SELECT id, status, reopened FROM incident")
        .fetch_one(&mut place.owner)
        .await
        .expect("one incident")
}

fn critical(n: u64, rule: &str, seconds: i64) -> Event {
    vec![fact(signal(n, rule, SignalLevel::Critical, &user("ada"), seconds))]
}

#[tokio::test]
async fn an_incident_is_told_when_there_is_something_new_about_it() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let finding = |activity, status: &str, tactics| (activity, status.to_owned(), tactics);
    member.deliver(&[critical(1, "a", 0)]).await;
    assert_eq!(told(&mut place).await, [finding(1, "New", 1)]);
    let (id, status, _) = incident(&mut place).await;
    assert_eq!(status, "open");

    member.deliver(&[critical(2, "a", 10), critical(3, "a", 20)]).await;
    assert_eq!(told(&mut place).await, [], "more of the same within the hour");
    member.deliver(&[critical(3, "a", 20)]).await;
    assert_eq!(told(&mut place).await, [], "a duplicate");
    member.deliver(&[critical(4, "a", HOUR)]).await;
    assert_eq!(told(&mut place).await, [finding(2, "New", 1)]);

    let decide = |n, decision, seconds| vec![triage(n, id, &user("ada"), (decision, &["a"]), seconds)];
    member.deliver(&[decide(5, TriageDecision::Acknowledged, HOUR)]).await;
    assert_eq!(told(&mut place).await, [finding(2, "In Progress", 1)]);
    member.deliver(&[decide(6, TriageDecision::Closed, HOUR + 60)]).await;
    assert_eq!(told(&mut place).await, [finding(3, "Resolved", 1)]);
    assert_eq!(incident(&mut place).await, (id, "closed".to_owned(), false));
    member.deliver(&[critical(7, "a", HOUR + 120)]).await;
    assert_eq!(incident(&mut place).await.1, "closed", "more of the same");

    member.deliver(&[critical(8, "b", 2 * HOUR + 120)]).await;
    assert_eq!(told(&mut place).await, [finding(2, "New", 2)]);
    assert_eq!(incident(&mut place).await, (id, "open".to_owned(), true));

    let before = place.hazard("ada").await;
    member.deliver(&[decide(9, TriageDecision::FalsePositive, 2 * HOUR + 180)]).await;
    assert_eq!(told(&mut place).await, [finding(3, "Suppressed", 2)]);
    assert_eq!(place.hazard("ada").await, 4_605_170, "what is left is the other rule's; it was {before}");
    member.deliver(&[decide(10, TriageDecision::Open, 2 * HOUR + 240)]).await;
    assert_eq!(told(&mut place).await, [finding(2, "New", 2)]);
    assert_eq!(place.hazard("ada").await, before, "opening it again brings the rule back");
}

#[tokio::test]
async fn a_rule_that_was_wrong_no_longer_counts_for_the_entity() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    member.deliver(&[critical(1, "a", 0)]).await;
    let (id, ..) = incident(&mut place).await;
    member.deliver(&[vec![triage(2, id, &user("ada"), (TriageDecision::FalsePositive, &["a"]), 10)]]).await;
    assert_eq!(place.hazard("ada").await, 0);
    assert_eq!(incident(&mut place).await, (id, "false_positive".to_owned(), false));
    member.deliver(&[critical(3, "a", HOUR + 10)]).await;
    assert_eq!(place.hazard("ada").await, 4_605_170, "what comes after counts again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_and_incidents_are_the_same_after_a_rebuild() {
    let mut first = Place::new().await;
    let mut all = events(3, 400);
    first.member(0).await.deliver(&all).await;
    let found: Vec<(Uuid, String, i64)> =
        sqlx::query_as("SELECT id, entity, opened_hour FROM incident ORDER BY opened_hour, id")
            .fetch_all(&mut first.owner)
            .await
            .expect("incidents");
    assert!(found.len() > 4, "there are incidents to decide about: {}", found.len());
    let decide = |(n, (id, entity, opened)): (u64, &(Uuid, String, i64))| {
        let decision = TriageDecision::ALL[usize::try_from(n % 4).expect("small")];
        let seconds = opened * HOUR - 1_800_000_000 + i64::try_from(n).expect("small") * HOUR;
        vec![triage(10_000 + n, *id, &user(entity), (decision, &["a", "b"]), seconds)]
    };
    let decisions: Vec<Event> = (0..).zip(&found).map(decide).collect();
    first.member(1).await.deliver(&decisions).await;

    all.extend(decisions);
    let mut second = Place::new().await;
    let all = shuffled(all, 7);
    let (mut left, mut right) = (second.member(0).await, second.member(1).await);
    let (of_left, of_right) = all.split_at(all.len() / 2);
    tokio::join!(
        async {
            for batch in of_left.chunks(13) {
                left.deliver(batch).await;
            }
        },
        async {
            for batch in of_right.chunks(29) {
                right.deliver(batch).await;
            }
        }
    );
    for table in ["risk_exposure", "entity_risk", "incident"] {
        assert_eq!(second.dump(table).await, first.dump(table).await, "{table}");
    }
    let decided = first.dump("incident").await.iter().filter(|row| row.contains("looked at it")).count();
    assert!(decided > 2, "decisions show: {decided}");
}
