//! Values that a principal never had: which ones are reported depends on the set of events, whatever the order and whoever
//! writes; and a principal with any number of values costs a bounded number of rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use projections::risk::{FirstSight, FirstSights};
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use schemas::changes::{
    correlation::{CorrelationCondition, CorrelationPart, CorrelationSignal, CorrelationTerms, Sightings},
    risk::{RiskChange, SignalLevel},
};

use super::fixture::{Event, Place, event_id, fact, signal, tenant, user};
use crate::support::projection::{in_partitions, shuffled};

const TABLES: [&str; 7] = [
    "risk_first_seen",
    "risk_first_seen_group",
    "risk_signal",
    "risk_exposure",
    "entity_risk",
    "incident",
    "parked_record",
];
const DAY: i64 = 86_400;

/// The n-th event, which shows a value of the group on that day.
fn part(n: u64, rule: &str, (group, value): (&str, &str), seconds: i64) -> CorrelationPart {
    let signal = signal(n, rule, SignalLevel::High, &user(group), seconds);
    CorrelationPart {
        tenant: tenant(),
        event_id: signal.event_id,
        occurred_at: signal.occurred_at,
        group: group.to_owned(),
        reference: "acts".to_owned(),
        value: value.to_owned(),
        terms: CorrelationTerms {
            timespan_seconds: 1_209_600,
            condition: CorrelationCondition::FirstSeen(6),
        },
        rule: signal.rule,
        signal: CorrelationSignal {
            score: signal.score,
            dedupe_key: signal.dedupe_key,
            evidence: signal.evidence,
            touched: vec![(signal.entity, signal.hazard_micronats), (user("everybody"), 7)],
        },
        content_sha256: signal.content_sha256,
    }
}

fn seen(parts: Vec<CorrelationPart>) -> RiskChange {
    RiskChange::Sightings(Box::new(Sightings::of_parts(parts).expect("parts")))
}

/// Events of two months, each of which shows a value to two rules of novelty and to one that counts in weeks, and sometimes
/// is a signal of a fourth.
fn events(seed: u64, count: u64) -> Vec<Event> {
    let mut dice = StdRng::seed_from_u64(seed);
    let event = |n: u64| {
        let (group, seconds) = (["g", "h", "i"][dice.random_range(0..3)], dice.random_range(0..60 * DAY));
        // Two values that are seen all the time, and now and then another one.
        let value = if dice.random_bool(0.1) { dice.random_range(2..12) } else { dice.random_range(0..2) };
        let value = format!("v{value}");
        let mut parts = vec![
            part(n, "service", (group, &value), seconds),
            part(n, "client", (group, &value[..2]), seconds),
        ];
        // Another version of one of the rules saw some of the events.
        if n.is_multiple_of(3) {
            parts[0].terms.timespan_seconds = 604_800;
        }
        let week = format!("{group} {}", seconds / (7 * DAY));
        let mut counted = part(n, "count", (&week, &value), seconds);
        counted.terms.condition = CorrelationCondition::TumblingValueCount(4);
        parts.push(counted);
        let mut changes = vec![seen(parts)];
        if n.is_multiple_of(7) {
            changes.push(fact(signal(n, "other", SignalLevel::Low, &user(group), seconds)));
        }
        changes
    };
    (0..count).map(event).collect()
}

/// Rule and event of everything that is reported, from the whole set at once.
fn expected(events: &[Event]) -> BTreeSet<(String, String)> {
    let mut groups: BTreeMap<(&str, &str), FirstSights<Arc<CorrelationTerms>>> = BTreeMap::new();
    for change in events.iter().flatten() {
        let RiskChange::Sightings(sightings) = change else { continue };
        for part in sightings.parts() {
            let (at, event_id) = (part.occurred_at, *part.event_id.as_uuid());
            let sight = FirstSight { at, event_id, terms: Arc::new(part.terms.clone()) };
            groups.entry((&part.rule.id, &part.group)).or_default().see(&part.value, sight);
        }
    }
    let reported = |((rule, _), sights): (&(&str, &str), &FirstSights<Arc<CorrelationTerms>>)| {
        let events = sights.reported().into_iter().filter_map(|value| sights.get(value));
        events.map(|sight| ((*rule).to_owned(), sight.event_id.to_string())).collect::<Vec<_>>()
    };
    groups.iter().flat_map(reported).collect()
}

async fn reported(place: &mut Place) -> BTreeSet<(String, String)> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT rule_id, event_id::text FROM risk_signal WHERE entity = 'everybody' ORDER BY 1, 2",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("rows");
    let count = rows.len();
    let found: BTreeSet<_> = rows.into_iter().collect();
    assert_eq!(found.len(), count, "each once");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_partitions_and_batches_report_the_same_values() {
    let events = events(5, 240);
    let (mut place, expected_tables) = Place::built(in_partitions(&events, 1, 240), &TABLES).await;
    let expected = expected(&events);
    for rule in ["service", "count"] {
        assert!(expected.iter().any(|(reported, _)| reported == rule), "{rule}: {expected:?}");
    }
    assert_eq!(reported(&mut place).await, expected);
    for (seed, partitions, size) in [(1, 1, 1), (2, 3, 7), (3, 4, 40)] {
        let shuffled = shuffled(events.clone(), seed);
        let (_, found) = Place::built(in_partitions(&shuffled, partitions, size), &TABLES).await;
        for (table, (found, expected)) in TABLES.iter().zip(found.iter().zip(&expected_tables)) {
            assert_eq!(found, expected, "{table}, seed {seed}, {partitions} partitions");
        }
    }
}

#[tokio::test]
async fn a_late_event_takes_a_report_back_or_makes_one() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let event = |n, value: &str, day: i64| vec![seen(vec![part(n, "service", ("g", value), day * DAY)])];
    assert_eq!(
        member.deliver(&[event(1, "s3", 10), event(2, "iam", 20), event(3, "s3", 21)]).await,
        [3, 0, 0, 0]
    );
    assert_eq!(
        (reported(&mut place).await.len(), place.hazard("g").await),
        (0, 0),
        "not known for long enough"
    );
    member.deliver(&[event(4, "ec2", 2)]).await;
    let of_event = |n: u64| BTreeSet::from([("service".to_owned(), event_id(n).to_string())]);
    assert_eq!(reported(&mut place).await, of_event(2), "on day 20 it was known since day 2");
    assert!(place.hazard("g").await > 0);
    member.deliver(&[event(5, "iam", 18)]).await;
    assert_eq!(reported(&mut place).await, of_event(5), "an earlier event shows the value");
    member.deliver(&[event(6, "iam", 3)]).await;
    assert_eq!(
        (reported(&mut place).await.len(), place.hazard("g").await),
        (0, 0),
        "known from the first days on"
    );
    assert_eq!(place.dump("risk_first_seen").await.len(), 3);
}

#[tokio::test]
async fn an_event_that_comes_twice_is_a_duplicate_where_anything_of_it_is_stored() {
    let place = Place::new().await;
    let mut member = place.member(0).await;
    let event = |content: u8| {
        let mut parts = vec![part(7, "service", ("g", "s3"), 0)];
        let mut other = signal(7, "other", SignalLevel::Low, &user("g"), 0);
        (parts[0].content_sha256, other.content_sha256) = ([content; 32], [content; 32]);
        vec![seen(parts), fact(other)]
    };
    assert_eq!(member.deliver(&[event(1)]).await, [1, 0, 0, 0]);
    assert_eq!(member.deliver(&[event(1)]).await, [0, 1, 0, 0]);
    assert_eq!(member.deliver(&[event(2)]).await, [0, 0, 0, 1]);
}

#[tokio::test]
async fn a_principal_of_any_number_of_values_keeps_256_rows() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let event = |n: u64| {
        let seconds = i64::try_from(n).expect("small");
        vec![seen(vec![part(n, "client", ("g", &format!("agent {n}")), seconds)])]
    };
    for batch in [0_u64, 1, 2] {
        let events: Vec<Event> = (batch * 1_000..(batch + 1) * 1_000).map(event).collect();
        member.deliver(&events).await;
    }
    assert_eq!(place.dump("risk_first_seen").await.len(), 256);
    assert_eq!(place.dump("risk_first_seen_group").await.len(), 1);
    assert_eq!(place.dump("risk_signal").await.len(), 0);
}
