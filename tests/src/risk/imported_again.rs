//! Events that are imported again after retention has removed their signals.

use schemas::changes::{
    correlation::{CorrelationCondition, CorrelationPart, CorrelationSignal, CorrelationTerms},
    risk::{RiskChange, SignalLevel},
};
use sqlx::Executor as _;

use super::fixture::{Event, Place, fact, signal, user};

/// A few years before the other tests' events.
const LONG_AGO: i64 = -100_000_000;

fn high(n: u64, rule: &str, seconds: i64) -> Event {
    vec![fact(signal(n, rule, SignalLevel::High, &user("ada"), LONG_AGO + seconds))]
}

/// What follows from signals.
async fn sums(place: &mut Place) -> Vec<Vec<String>> {
    let mut sums = Vec::new();
    for table in ["risk_exposure", "entity_risk", "incident"] {
        sums.push(place.dump(table).await);
    }
    sums
}

async fn removed_by_retention(place: &mut Place) {
    place.owner.execute("DELETE FROM risk_signal").await.expect("removed");
}

#[tokio::test]
async fn signals_that_retention_removed_are_neither_stored_nor_counted_again() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let events = [high(1, "a", 0), high(2, "a", 10), high(3, "b", 20)];
    member.deliver(&events).await;
    let expected = sums(&mut place).await;
    removed_by_retention(&mut place).await;
    for event in &events {
        member.deliver(std::slice::from_ref(event)).await;
    }
    assert_eq!(sums(&mut place).await, expected);
    assert!(place.dump("risk_signal").await.is_empty());
}

#[tokio::test]
async fn old_events_count_for_rules_and_hours_that_have_lost_no_signal() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    member.deliver(&[high(1, "a", 0)]).await;
    removed_by_retention(&mut place).await;
    member.deliver(&[high(1, "a", 0), high(1, "new", 0), high(2, "a", 7_200)]).await;
    member.deliver(&[high(3, "new", 10), high(4, "a", 7_210)]).await;
    let counted: Vec<(String, i64)> =
        sqlx::query_as("SELECT rule_id, signals FROM risk_exposure ORDER BY rule_id, hour")
            .fetch_all(&mut place.owner)
            .await
            .expect("rows");
    let counted: Vec<(&str, i64)> = counted.iter().map(|(rule, signals)| (rule.as_str(), *signals)).collect();
    assert_eq!(counted, [("a", 1), ("a", 2), ("new", 2)]);
    assert_eq!(place.dump("risk_signal").await.len(), 4);
}

#[tokio::test]
async fn a_correlation_whose_signal_retention_removed_is_not_told_again() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let event = |n: u64| -> Event {
        let seconds = LONG_AGO + i64::try_from(n).expect("small");
        let signal = signal(n, "burst", SignalLevel::High, &user("ada"), seconds);
        vec![RiskChange::Part(Box::new(CorrelationPart {
            tenant: signal.tenant,
            event_id: signal.event_id,
            occurred_at: signal.occurred_at,
            group: "g".to_owned(),
            reference: "a".to_owned(),
            value: String::new(),
            terms: CorrelationTerms { timespan_seconds: 60, condition: CorrelationCondition::EventCount(3) },
            rule: signal.rule,
            signal: CorrelationSignal {
                score: signal.score,
                dedupe_key: signal.dedupe_key,
                evidence: signal.evidence,
                touched: vec![(signal.entity, signal.hazard_micronats)],
            },
            content_sha256: signal.content_sha256,
        }))]
    };
    let events: Vec<Event> = (1..=5).map(event).collect();
    member.deliver(&events).await;
    let expected = sums(&mut place).await;
    assert_eq!(place.dump("risk_signal").await.len(), 1);
    removed_by_retention(&mut place).await;
    place
        .owner
        .execute("TRUNCATE risk_correlation_event, risk_correlation_report, risk_correlation_group")
        .await
        .expect("removed");
    member.deliver(&events[1..]).await;
    assert_eq!(sums(&mut place).await, expected);
    assert!(place.dump("risk_signal").await.is_empty());
}
