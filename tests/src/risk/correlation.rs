//! Correlation: which events become signals depends on the set of them, whatever the order and whoever writes.

use std::collections::{BTreeMap, BTreeSet};

use projections::risk::{GroupEvent, completing, first_of_hours};
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use schemas::changes::{
    correlation::{CorrelationCondition, CorrelationPart, CorrelationSignal, CorrelationTerms},
    risk::{RiskChange, SignalLevel},
};

use super::{
    bounds::{ended, read_by},
    fixture::{Event, Place, event_id, signal, tenant, user},
};
use crate::support::projection::{in_partitions, shuffled};

const TABLES: [&str; 7] = [
    "risk_correlation_event",
    "risk_correlation_group",
    "risk_correlation_report",
    "risk_signal",
    "risk_exposure",
    "entity_risk",
    "incident",
];

fn rules() -> Vec<(&'static str, Vec<CorrelationTerms>)> {
    let ordered = ["a", "b"].map(str::to_owned).to_vec();
    let terms = |timespan_seconds, condition| CorrelationTerms { timespan_seconds, condition };
    vec![
        // Of two versions of the rule; each event goes by the one that saw it.
        (
            "burst",
            vec![
                terms(120, CorrelationCondition::EventCount(4)),
                terms(300, CorrelationCondition::EventCount(6)),
            ],
        ),
        ("spread", vec![terms(200, CorrelationCondition::ValueCount(3))]),
        ("both", vec![terms(60, CorrelationCondition::Temporal(ordered.clone()))]),
        ("then", vec![terms(60, CorrelationCondition::TemporalOrdered(ordered))]),
    ]
}

/// The part of the n-th event in a correlation.
fn part(n: u64, rule: &str, (group, reference): (&str, &str), seconds: i64) -> CorrelationPart {
    let signal = signal(n, rule, SignalLevel::High, &user(group), seconds);
    CorrelationPart {
        tenant: tenant(),
        event_id: signal.event_id,
        occurred_at: signal.occurred_at,
        group: group.to_owned(),
        reference: reference.to_owned(),
        value: String::new(),
        terms: CorrelationTerms { timespan_seconds: 60, condition: CorrelationCondition::EventCount(3) },
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

fn counted(part: CorrelationPart) -> RiskChange {
    RiskChange::Part(Box::new(part))
}

fn events(seed: u64, count: u64) -> Vec<Event> {
    let mut dice = StdRng::seed_from_u64(seed);
    let event = |n: u64| {
        let (group, seconds) = (["g", "h", "i"][dice.random_range(0..3)], dice.random_range(0..3 * 3_600));
        let references: &[&str] = [&["a"][..], &["b"], &["a", "b"]][dice.random_range(0..3)];
        let (value, version) = (["u", "v", "w", "x"][dice.random_range(0..4)], dice.random_range(0..2));
        let mut parts = Vec::new();
        for (rule, terms) in rules() {
            for reference in references {
                let mut part = part(n, rule, (group, reference), seconds);
                part.value = if rule == "spread" { value.to_owned() } else { String::new() };
                part.terms = terms[version % terms.len()].clone();
                parts.push(counted(part));
            }
        }
        parts
    };
    (0..count).map(event).collect()
}

/// Rule and event of everything by which a rule is reported, from the whole set at once.
fn expected(events: &[Event]) -> BTreeSet<(String, String)> {
    let mut groups: BTreeMap<(&str, &str), Vec<GroupEvent<'_>>> = BTreeMap::new();
    for change in events.iter().flatten() {
        let RiskChange::Part(part) = change else { panic!("only parts were made") };
        groups.entry((&part.rule.id, &part.group)).or_default().push(GroupEvent {
            occurred_at: part.occurred_at,
            event_id: *part.event_id.as_uuid(),
            reference: &part.reference,
            value: &part.value,
            terms: &part.terms,
        });
    }
    let reported = |((rule, _), events): (&(&str, &str), &Vec<GroupEvent<'_>>)| -> Vec<(String, String)> {
        let first = first_of_hours(events, &completing(events)).into_values();
        first.map(|place| ((*rule).to_owned(), events[place].event_id.to_string())).collect()
    };
    groups.iter().flat_map(reported).collect()
}

async fn built(events: &[Event], partitions: usize, size: usize) -> (Place, Vec<Vec<String>>) {
    Place::built(in_partitions(events, partitions, size), &TABLES).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_partitions_and_batches_report_the_same_events() {
    let events = events(3, 300);
    let (mut place, expected_tables) = built(&events, 1, 300).await;
    let expected = expected(&events);
    assert!(rules().iter().all(|(rule, _)| expected.iter().any(|(found, _)| found == rule)), "{expected:?}");
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT rule_id, event_id::text FROM risk_signal WHERE entity = 'everybody' ORDER BY 1, 2",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("rows");
    assert_eq!(found.len(), expected.len(), "each once");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    for (seed, partitions, size) in [(1, 1, 1), (2, 3, 7), (3, 4, 40)] {
        let (_, found) = built(&shuffled(events.clone(), seed), partitions, size).await;
        for (table, (found, expected)) in TABLES.iter().zip(found.iter().zip(&expected_tables)) {
            assert_eq!(found, expected, "{table}, seed {seed}, {partitions} partitions");
        }
    }
}

#[tokio::test]
async fn a_condition_is_reported_by_the_first_event_of_the_hour_that_completes_it() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let event = |n, seconds| vec![counted(part(n, "burst", ("g", "a"), seconds))];
    member.deliver(&[event(1, 0), event(2, 50), event(3, 59), event(4, 60), event(5, 70)]).await;
    let signals = "SELECT event_id FROM risk_signal WHERE entity = 'g' ORDER BY occurred_at";
    let reported = async |place: &mut Place| -> Vec<uuid::Uuid> {
        sqlx::query_scalar(signals).fetch_all(&mut place.owner).await.expect("rows")
    };
    assert_eq!(reported(&mut place).await, [*event_id(3).as_uuid()], "once, however long it holds");
    // Between the first and the second: now the second is the third within a minute, and the report is its.
    assert_eq!(member.deliver(&[event(6, 20)]).await, [1, 0, 0, 0]);
    assert_eq!(reported(&mut place).await, [*event_id(2).as_uuid()]);
    assert_eq!(place.hazard("g").await, 1_309_333);
    assert_eq!(member.deliver(&[event(6, 20), event(1, 0)]).await, [0, 2, 0, 0]);
    assert_eq!(reported(&mut place).await, [*event_id(2).as_uuid()]);
    // Another hour has its own report.
    member.deliver(&[event(7, 3_598), event(8, 3_599), event(9, 3_600), event(10, 3_601)]).await;
    assert_eq!(reported(&mut place).await, [2, 9].map(|n| *event_id(n).as_uuid()));
}

#[tokio::test]
async fn a_report_that_moves_takes_its_signals_along() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let event = |n: u64, who: &str, seconds| {
        let mut part = part(n, "burst", ("g", "a"), seconds);
        part.signal.touched = vec![(user(who), 1_309_333)];
        vec![counted(part)]
    };
    member.deliver(&[event(1, "ada", 0), event(2, "bob", 50), event(3, "eve", 59)]).await;
    assert_eq!((place.hazard("eve").await, place.hazard("bob").await), (1_309_333, 0));
    member.deliver(&[event(4, "ada", 20)]).await;
    assert_eq!((place.hazard("eve").await, place.hazard("bob").await), (0, 1_309_333));
    let (_, tables) =
        built(&[event(4, "ada", 20), event(3, "eve", 59), event(2, "bob", 50), event(1, "ada", 0)], 1, 1)
            .await;
    for (table, expected) in TABLES.iter().zip(tables) {
        assert_eq!(place.dump(table).await, expected, "{table}");
    }
}

#[tokio::test]
async fn a_busy_group_is_not_read_again_once_it_is_reported() {
    let mut place = Place::new().await;
    let event = |n: u64| {
        let seconds = i64::try_from(n / 10).expect("small");
        vec![counted(part(n, "burst", ("g", "a"), seconds))]
    };
    let mut member = place.member(0).await;
    for batch in 0..4 {
        member.deliver(&(batch * 1_000..(batch + 1) * 1_000).map(event).collect::<Vec<_>>()).await;
    }
    ended(&mut place, member).await;
    let more: Vec<Event> = (4_000..4_500).map(event).collect();
    let read = read_by(&mut place, &more, [500, 0, 0, 0]).await;
    assert!(read < 500, "{read} entries for 500 events of a group that has 4,000 and its report");
}

/// Rules that are met by events that lie far apart, each in two versions.
fn rare_rules() -> Vec<(&'static str, [CorrelationTerms; 2])> {
    let names = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>();
    let terms = |condition| CorrelationTerms { timespan_seconds: 2_400, condition };
    let spread = terms(CorrelationCondition::ValueCount(6));
    let shorter = CorrelationTerms { timespan_seconds: 600, ..spread.clone() };
    let ordered = terms(CorrelationCondition::TemporalOrdered(names(&["c", "d"])));
    let backwards = terms(CorrelationCondition::TemporalOrdered(names(&["d", "c", "a"])));
    let never = terms(CorrelationCondition::TemporalOrdered(names(&["d", "c", "d"])));
    let each = terms(CorrelationCondition::Temporal(names(&["a", "c", "d"])));
    let any = terms(CorrelationCondition::TemporalAny(vec![names(&["c", "d"])]));
    let different = terms(CorrelationCondition::TemporalCount(4));
    vec![
        ("spread", [spread.clone(), shorter]),
        ("then", [ordered.clone(), backwards]),
        ("never", [never.clone(), never]),
        ("each", [each, any.clone()]),
        ("different", [different, any]),
        ("changed", [spread, ordered]),
    ]
}

/// Events of one group in the order of their times, so dense that a timespan holds 600 of them.
fn dense(seed: u64) -> Vec<Event> {
    let mut dice = StdRng::seed_from_u64(seed);
    let event = |n: u64| -> Event {
        let (second, frequent) = (dice.random_range(0..2_usize), dice.random_range(0..4_usize));
        let reference = match n {
            200 | 1_000 => "c",
            600 => "d",
            _ => ["a", "b"][second],
        };
        let value = match n {
            334 | 1_000 => "x",
            640 | 1_010 => "y",
            _ => ["s", "t", "u", "v"][frequent],
        };
        let of_rule = |(rule, [even, odd]): (&str, [CorrelationTerms; 2])| {
            let mut part = part(n, rule, ("g", reference), i64::try_from(n * 4).expect("small"));
            part.terms = if n.is_multiple_of(2) { even } else { odd };
            if matches!(part.terms.condition, CorrelationCondition::ValueCount(_)) {
                value.clone_into(&mut part.value);
            }
            counted(part)
        };
        rare_rules().into_iter().map(of_rule).collect()
    };
    (0..1_800).map(event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_groups_report_the_same_events_however_they_come() {
    let events = dense(5);
    let (mut place, expected_tables) = built(&events, 1, 1_800).await;
    let expected = expected(&events);
    let is_reported = |rule: &str| expected.iter().any(|(found, _)| found == rule);
    let silent: Vec<&str> =
        rare_rules().iter().map(|(rule, _)| *rule).filter(|rule| !is_reported(rule)).collect();
    assert_eq!(silent, ["never"], "{expected:?}");
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT rule_id, event_id::text FROM risk_signal WHERE entity = 'everybody' ORDER BY 1, 2",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("rows");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    let late = [&events[..700], &events[900..], &events[700..900]].concat();
    for (events, partitions, size) in [(&events, 1, 30), (&events, 3, 20), (&late, 2, 50)] {
        let (_, found) = built(events, partitions, size).await;
        for (table, (found, expected)) in TABLES.iter().zip(found.iter().zip(&expected_tables)) {
            assert_eq!(found, expected, "{table}, {partitions} partitions, {size} at a time");
        }
    }
}

#[tokio::test]
async fn a_busy_group_whose_condition_is_never_met_is_not_read_whole() {
    let names = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>();
    let rules = [
        ("spread", CorrelationCondition::ValueCount(5)),
        ("each", CorrelationCondition::Temporal(names(&["a", "b", "c"]))),
        ("then", CorrelationCondition::TemporalOrdered(names(&["a", "b", "c"]))),
    ];
    for (rule, condition) in rules {
        let mut place = Place::new().await;
        let event = |n: u64| {
            let seconds = i64::try_from(n / 10).expect("small");
            let mut part = part(n, rule, ("g", if n.is_multiple_of(2) { "a" } else { "b" }), seconds);
            if rule == "spread" {
                part.value = (n % 3).to_string();
            }
            part.terms = CorrelationTerms { timespan_seconds: 3_000, condition: condition.clone() };
            vec![counted(part)]
        };
        let mut member = place.member(0).await;
        for batch in 0..4 {
            member.deliver(&(batch * 1_000..(batch + 1) * 1_000).map(event).collect::<Vec<_>>()).await;
        }
        ended(&mut place, member).await;
        let more: Vec<Event> = (4_000..4_050).map(event).collect();
        let read = read_by(&mut place, &more, [50, 0, 0, 0]).await;
        assert!(read < 2_000, "{rule}: {read} entries for 50 events of a group of which 4,000 count");
        assert!(place.dump("risk_signal").await.is_empty(), "{rule}");
    }
}
