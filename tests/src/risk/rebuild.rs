//! The stored rows follow from the set of facts alone.

use schemas::changes::risk::SignalLevel;

use super::fixture::{Event, Place, criticality, event_id, events, fact, signal, user};
use crate::support::projection::{in_batches, in_partitions, shuffled};

const DERIVED: [&str; 3] = ["risk_exposure", "entity_risk", "incident"];
const FACTS: [&str; 3] = ["risk_signal", "risk_weight", "risk_triage"];

/// Every table after the events have come in these batches, each partition by a member of its own, all at once.
async fn built(partitions: Vec<Vec<Vec<Event>>>) -> Vec<Vec<String>> {
    Place::built(partitions, &[FACTS, DERIVED].concat()).await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_partitions_and_batches_change_no_byte() {
    let events = events(1, 600);
    let expected = built(vec![in_batches(&events, 600)]).await;
    assert!(expected.iter().take(5).all(|table| table.len() > 3), "there is something to compare");
    for (seed, partitions, size) in [(1, 1, 1), (2, 3, 11), (3, 4, 60)] {
        let found = built(in_partitions(&shuffled(events.clone(), seed), partitions, size)).await;
        for (table, (found, expected)) in FACTS.iter().chain(&DERIVED).zip(found.iter().zip(&expected)) {
            assert_eq!(found, expected, "{table}, seed {seed}, {partitions} partitions");
        }
    }
}

#[tokio::test]
async fn what_comes_twice_counts_once() {
    let events = events(2, 100);
    let once = built(vec![in_batches(&events, 30)]).await;
    let mut twice = events.clone();
    twice.extend(shuffled(events.clone(), 1));
    assert_eq!(built(vec![in_batches(&twice, 30)]).await, once);

    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    assert_eq!(member.deliver(&events).await, [100, 0, 0, 0]);
    assert_eq!(member.deliver(&events).await, [0, 100, 0, 0]);
    let mut other = signal(1, "a", SignalLevel::High, &user("ada"), 0);
    other.event_id = event_id(5000);
    assert_eq!(member.deliver(&[vec![fact(other.clone())]]).await, [1, 0, 0, 0]);
    other.content_sha256 = [9; 32];
    assert_eq!(member.deliver(&[vec![fact(other)]]).await, [0, 0, 0, 1], "one id, two contents");
    assert_eq!(place.dump("parked_record").await.len(), 1);
}

#[tokio::test]
async fn signals_of_an_hour_count_once_and_a_noisy_rule_thrice() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let ada = user("ada");
    let high = |n, seconds| vec![fact(signal(n, "a", SignalLevel::High, &ada, seconds))];
    member.deliver(&[high(1, 0), high(2, 10)]).await;
    assert_eq!(place.hazard("ada").await, 1_309_333, "two within an hour");
    let mut other_key = signal(3, "a", SignalLevel::High, &ada, 20);
    other_key.dedupe_key = "other".to_owned();
    member.deliver(&[vec![fact(other_key)]]).await;
    assert_eq!(place.hazard("ada").await, 2_618_666, "told apart by the rule");
    let hours: Vec<Event> = (0..10).map(|n| high(10 + n, 0)).collect();
    member.deliver(&hours).await;
    assert_eq!(place.hazard("ada").await, 2_618_666);
    let more = (0..10).map(|n| {
        let mut more = signal(100 + n, "a", SignalLevel::High, &ada, 30);
        more.dedupe_key = format!("key {n}");
        vec![fact(more)]
    });
    member.deliver(&more.collect::<Vec<_>>()).await;
    assert_eq!(place.hazard("ada").await, 3_927_999, "three times the largest");
    member.deliver(&[vec![criticality(200, &ada, 500, 40)]]).await;
    assert_eq!(place.hazard("ada").await, 1_963_999);
}
