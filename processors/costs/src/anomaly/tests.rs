use chrono::{NaiveDate, NaiveTime, TimeDelta};
use schemas::events::InfrastructureKind;

use super::*;

fn day(number: i64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 1, 6).expect("a Monday") + TimeDelta::days(number)
}

/// Pseudo-random numbers, the same in every run.
struct Noise(u64);

impl Noise {
    /// Between -1 and 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = u32::try_from(self.0 >> 33).expect("31 bits");
        f64::from(bits) / f64::from(1_u32 << 30) - 1.0
    }
}

/// A weekly course with noise.
fn cost(noise: &mut Noise, level: f64, number: i64) -> f64 {
    let weekend = if number % 7 >= 5 { 0.6 } else { 1.0 };
    level * weekend * (1.0 + 0.04 * noise.next())
}

fn series(values: &[f64]) -> Vec<(NaiveDate, f64)> {
    (0..).map(day).zip(values.iter().copied()).collect()
}

/// Days, by number, with their severity.
fn check(values: &[f64], expected: &[(i64, Severity)]) {
    let found: Vec<_> = anomalies(&series(values))
        .iter()
        .map(|found| ((found.day - day(0)).num_days(), found.severity))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn anomalies_start_at_ten_days_and_at_one_currency_unit() {
    let mut values = vec![100.0; 10];
    values.push(160.0);
    check(&values, &[(10, Severity::High)]);
    check(&values[1..], &[]);
    let small: Vec<f64> = values.iter().map(|value| value / 100.0).collect();
    check(&small, &[]);
    let mut values = vec![100.0; 30];
    values[20] = 125.0;
    values[25] = 110.0;
    check(&values, &[(20, Severity::Medium), (25, Severity::Low)]);
}

#[test]
fn a_new_level_is_reported_for_three_days_and_then_expected() {
    let mut values = vec![100.0; 40];
    values[20..].fill(200.0);
    let high = Severity::High;
    check(&values, &[(20, high), (21, high), (22, high)]);
}

#[test]
fn weekends_are_expected_and_missing_days_cost_nothing() {
    let values: Vec<f64> = (0..70).map(|number| if number % 7 >= 5 { 40.0 } else { 100.0 }).collect();
    check(&values[..70], &[]);
    let mut with_gap = series(&values);
    with_gap.remove(66);
    let found = anomalies(&with_gap);
    assert_eq!((found.len(), found[0].day, found[0].actual), (1, day(66), 0.0));
    check(&[f64::NAN; 30], &[]);
    check(&[], &[]);
}

/// Pairs of series with anomalies of opposite sign on the same day: their total shows nothing.
#[test]
fn a_thousand_anomalies_that_cancel_in_pairs_are_found_with_event_and_actor() {
    const PAIRS: i64 = 500;
    const DAYS: i64 = 90;
    let mut noise = Noise(7);
    let (mut found, mut explained, mut false_alarms) = (0, 0, 0);
    let mut events = Vec::new();
    let mut all = Vec::new();
    for pair in 0..PAIRS {
        let planted = 40 + pair % 45;
        let level = 50.0 + 10.0 * f64::from(i32::try_from(pair % 37).expect("small"));
        let amount = level * (0.3 + 0.2 * noise.next().abs());
        for (side, sign) in [("up", 1.0), ("down", -1.0)] {
            let key = SeriesKey {
                account: Some("acc-1".to_owned()),
                service: Some("compute".to_owned()),
                region: Some(format!("region-{}", pair % 4)),
                resource: Some(format!("r-{pair}-{side}")),
            };
            let values: Vec<f64> = (0..DAYS)
                .map(|number| {
                    cost(&mut noise, level, number) + if number == planted { sign * amount } else { 0.0 }
                })
                .collect();
            let at = day(planted).and_time(NaiveTime::MIN).and_utc() + TimeDelta::hours(pair % 24);
            events.push(InfrastructureEvent {
                id: format!("cause-{pair}-{side}"),
                at,
                kind: InfrastructureKind::Scaled,
                place: key.clone(),
                actor: Some(format!("actor-{pair}-{side}")),
            });
            // Another resource of the same service and region, at the same time.
            let other = SeriesKey { resource: Some(format!("other-{pair}")), ..key.clone() };
            let kind = InfrastructureKind::Scaled;
            events.push(InfrastructureEvent {
                id: format!("other-{pair}-{side}"),
                at,
                kind,
                place: other,
                actor: None,
            });
            all.push((key, planted, format!("{pair}-{side}"), values));
        }
    }
    for (key, planted, name, values) in &all {
        for anomaly in anomalies(&series(values)) {
            if anomaly.day != day(*planted) {
                false_alarms += 1;
                continue;
            }
            found += 1;
            let cause = explain(key, anomaly.day, anomaly.impact, &events);
            let actor = cause.and_then(|cause| cause.event.actor.clone());
            explained += i32::from(actor == Some(format!("actor-{name}")));
        }
    }
    assert!(found >= 950, "{found} of 1,000 found");
    assert_eq!(explained, found, "each with its event and actor");
    // 1,000 series of 80 days that are held against their history.
    assert!(false_alarms <= 800, "{false_alarms} false alarms in 80,000 days");
}

#[test]
fn totals_hide_what_series_show() {
    let steady: Vec<f64> = vec![100.0; 30];
    let (mut up, mut down) = (steady.clone(), steady);
    up[20] += 60.0;
    down[20] -= 60.0;
    let total: Vec<f64> = up.iter().zip(&down).map(|(a, b)| a + b).collect();
    check(&total, &[]);
    check(&up, &[(20, Severity::High)]);
    check(&down, &[(20, Severity::High)]);
}

#[test]
fn a_first_spend_is_one_in_a_place_never_seen() {
    let spend = |number, region: &str, cost| Spend {
        day: day(number),
        key: SeriesKey { region: Some(region.to_owned()), ..SeriesKey::default() },
        cost,
    };
    let mut spends: Vec<Spend> = (0..30).map(|number| spend(number, "eu", 10.0)).collect();
    spends.extend([spend(5, "us", 10.0), spend(12, "ap", 0.5), spend(14, "ap", 3.0), spend(15, "ap", 3.0)]);
    spends.reverse();
    let found = first_spends(&spends);
    assert_eq!(found.len(), 1);
    let first = &found[0];
    assert_eq!((first.day, first.dimension, first.value.as_str()), (day(14), Dimension::Region, "ap"));
}

#[test]
fn events_explain_only_in_their_direction_and_where_they_agree() {
    let key = SeriesKey { service: Some("db".into()), region: Some("eu".into()), ..SeriesKey::default() };
    let at = day(3).and_time(NaiveTime::MIN).and_utc();
    let event = |kind, place: &SeriesKey, at| InfrastructureEvent {
        id: "e".into(),
        at,
        kind,
        place: place.clone(),
        actor: None,
    };
    let other = SeriesKey { region: Some("us".into()), ..key.clone() };
    let account = SeriesKey { account: Some("a".into()), ..SeriesKey::default() };
    for (kind, place, at, impact, explains) in [
        (InfrastructureKind::Provisioned, &key, at, 5.0, true),
        (InfrastructureKind::Provisioned, &key, at, -5.0, false),
        (InfrastructureKind::Deleted, &key, at, -5.0, true),
        (InfrastructureKind::Scaled, &other, at, 5.0, false),
        (InfrastructureKind::Scaled, &account, at, 5.0, false),
        (InfrastructureKind::Scaled, &key, at + TimeDelta::days(1), 5.0, false),
        (InfrastructureKind::Scaled, &key, at - TimeDelta::days(3), 5.0, false),
        (InfrastructureKind::ConfigurationObserved, &key, at, 5.0, false),
    ] {
        let events = [event(kind, place, at)];
        assert_eq!(explain(&key, day(3), impact, &events).is_some(), explains, "{kind:?} {place:?} {at}");
    }
}
