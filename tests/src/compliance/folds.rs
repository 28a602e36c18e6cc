//! Derived rows follow from the set of events, and an instant of the past looks as it would if no event had
//! come since.

use schemas::Envelope;
use sinks::query_api::{FindingsPage, PostureAnswer, ScorecardsPage, VerdictsPage};

use super::fixture::{Place, TABLES, events, hour, volume};
use crate::{
    query_api::fixture::Api,
    support::projection::{in_batches, in_partitions, shuffled},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_follow_from_the_set_of_events() {
    let all = events(7, 160);
    let expected = Place::built(vec![in_batches(&all, 200)], &TABLES).await.1;
    assert!(expected.iter().all(|rows| !rows.is_empty()), "there is something to compare in each table");
    for (seed, partitions, size) in [(1, 1, 7), (2, 3, 11), (3, 4, 60)] {
        let mut doubled = shuffled(all.clone(), seed);
        doubled.extend(shuffled(all.clone(), seed + 100).into_iter().take(60));
        let dealt = in_partitions(&doubled, partitions, size);
        let found = Place::built(dealt, &TABLES).await.1;
        for (table, (found, expected)) in TABLES.iter().zip(found.iter().zip(&expected)) {
            assert_eq!(found, expected, "{table}: seed {seed}, {partitions} partitions, batches of {size}");
        }
    }
}

/// The API's answers about an instant.
async fn told(api: &Api, query: &str) -> (PostureAnswer, VerdictsPage, FindingsPage, ScorecardsPage) {
    let mut posture: PostureAnswer = api.get("acme", &format!("/api/v1/compliance/posture?{query}")).await;
    let all = format!("{query}&limit=1000");
    let mut verdicts: VerdictsPage = api.get("acme", &format!("/api/v1/compliance/verdicts?{all}")).await;
    let mut findings: FindingsPage = api.get("acme", &format!("/api/v1/compliance/findings?{all}")).await;
    let mut cards: ScorecardsPage = api.get("acme", &format!("/api/v1/compliance/scorecards?{all}")).await;
    posture.position.clear();
    verdicts.position.clear();
    findings.position.clear();
    cards.position.clear();
    // Where a record lies differs from one log to another.
    verdicts.items.iter_mut().for_each(|item| item.offset = 0);
    (posture, verdicts, findings, cards)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instant_of_the_past_is_what_a_rebuild_up_to_it_gives() {
    let all = events(11, 200);
    let (whole, part) = (Api::start().await, Api::start().await);
    Place::at(whole.database.clone()).await.member(0).await.deliver(&shuffled(all.clone(), 3)).await;
    for instant in [10, 35, 55, 99].map(hour) {
        let until: Vec<Envelope> = all.iter().filter(|event| event.occurred_at <= instant).cloned().collect();
        let rebuilt = Place::at(part.database.clone()).await;
        rebuilt.member(0).await.deliver(&until).await;
        let query = format!("as_of={}", instant.format("%Y-%m-%dT%H:%M:%SZ"));
        let (seen, rebuilt_from) = (told(&whole, &query).await, told(&part, &query).await);
        assert!(!seen.1.items.is_empty(), "there is something to compare");
        assert_eq!(seen, rebuilt_from, "at {instant}");
    }
}

#[tokio::test]
async fn an_observation_that_changes_nothing_writes_no_verdicts() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let looks: Vec<Envelope> =
        (0..50).map(|n| volume(n, "a-1", false, hour(i64::try_from(n).expect("small")))).collect();
    member.deliver(&looks).await;
    assert_eq!(place.dump("compliance_verdict").await.len(), 1);
    assert_eq!(place.dump("compliance_state").await.len(), 50);
    assert_eq!(place.dump("compliance_finding").await.len(), 1);
}
