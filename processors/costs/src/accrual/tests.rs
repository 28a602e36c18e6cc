//! Lives, accrual and reconciliation.

use chrono::{TimeDelta, TimeZone, Utc};
use proptest::prelude::*;

use super::*;

fn at(day: u32, hour: u32) -> Timestamp {
    Utc.with_ymd_and_hms(2025, 3, day, hour, 0, 0).single().expect("an instant")
}

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 3, day).expect("a day")
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn hourly(text: &str) -> SizeTold {
    let price = UnitPrice { hourly: decimal(text), ..UnitPrice::default() };
    SizeTold { price: Some(price), ..SizeTold::default() }
}

fn event(id: u128, at: Timestamp, kind: LifecycleKind, told: SizeTold) -> Lifecycle {
    Lifecycle { at, id: Uuid::from_u128(id), kind, told }
}

fn grown() -> Vec<Lifecycle> {
    vec![
        event(1, at(1, 12), LifecycleKind::Provisioned, hourly("0.1")),
        event(
            2,
            at(2, 6),
            LifecycleKind::Scaled,
            SizeTold { count: Some(Decimal::TWO), ..SizeTold::default() },
        ),
        event(3, at(3, 1), LifecycleKind::Deleted, SizeTold::default()),
    ]
}

fn whole(events: &[Lifecycle], until: Timestamp) -> Accrual {
    accrue(&life(events), at(1, 0), until, &BTreeMap::new()).1
}

/// Cost by day of the month.
fn check(events: &[Lifecycle], expected: &[(u32, &str)], beginning_unknown: bool) {
    let found: Vec<(u32, String)> = whole(events, at(10, 0))
        .days
        .iter()
        .map(|(day, accrued)| (day.day(), accrued.cost.normalize().to_string()))
        .collect();
    let expected: Vec<(u32, String)> =
        expected.iter().map(|(day, cost)| (*day, (*cost).to_owned())).collect();
    assert_eq!((found, life(events).beginning_unknown), (expected, beginning_unknown));
}

#[test]
fn cost_accrues_by_the_second_until_the_resource_is_deleted() {
    check(&grown(), &[(1, "1.2"), (2, "4.2"), (3, "0.2")], false);
    assert_eq!(whole(&grown(), at(10, 0)).cost(), decimal("5.6"));
    let second = [event(1, at(1, 0), LifecycleKind::Provisioned, hourly("3600"))];
    assert_eq!(whole(&second, at(1, 0) + TimeDelta::seconds(7)).cost(), Decimal::from(7));
}

#[test]
fn storage_is_priced_by_the_calendar_month_and_its_size() {
    let price = UnitPrice { gb_monthly: decimal("0.31"), ..UnitPrice::default() };
    let disk = SizeTold { price: Some(price), size_gb: Some(Decimal::from(100)), ..SizeTold::default() };
    let larger = SizeTold { size_gb: Some(Decimal::from(200)), ..SizeTold::default() };
    let events = [
        event(1, at(1, 0), LifecycleKind::Provisioned, disk),
        event(2, at(3, 0), LifecycleKind::Scaled, larger),
        event(3, at(4, 0), LifecycleKind::Deleted, SizeTold::default()),
    ];
    check(&events, &[(1, "1"), (2, "1"), (3, "2")], false);
}

#[test]
fn a_stopped_resource_pays_for_what_it_stores() {
    let price = UnitPrice { hourly: decimal("1"), gb_monthly: decimal("0.31"), ..UnitPrice::default() };
    let told = SizeTold { price: Some(price), size_gb: Some(Decimal::from(100)), ..SizeTold::default() };
    let running = |running| SizeTold { running: Some(running), ..SizeTold::default() };
    let events = [
        event(1, at(1, 0), LifecycleKind::Provisioned, told),
        event(2, at(2, 0), LifecycleKind::Scaled, running(false)),
        event(3, at(3, 0), LifecycleKind::Scaled, running(true)),
        event(4, at(4, 0), LifecycleKind::Deleted, SizeTold::default()),
    ];
    check(&events, &[(1, "25"), (2, "1"), (3, "25")], false);
}

#[test]
fn missing_beginnings_and_missing_prices_are_said() {
    check(&grown()[2..], &[], true);
    let late = [event(2, at(2, 6), LifecycleKind::Scaled, hourly("0.2")), grown()[2].clone()];
    check(&late, &[(2, "3.6"), (3, "0.2")], true);
    let untold = [
        event(1, at(1, 0), LifecycleKind::Provisioned, SizeTold::default()),
        event(2, at(1, 1), LifecycleKind::Deleted, SizeTold::default()),
    ];
    let accrual = whole(&untold, at(2, 0));
    let of_day = accrual.days.values().next().expect("a day");
    assert_eq!((of_day.unpriced_seconds, of_day.priced_seconds, of_day.cost), (3_600, 0, Decimal::ZERO));
    assert_eq!(life(&untold).intervals[0].rate, Err(TYPE_UNKNOWN.to_owned()));
}

#[test]
fn charges_replace_accrual_and_every_difference_is_explained() {
    let charge = |cost: &str, hours: Option<i64>| Charged {
        cost: decimal(cost),
        hours: hours.map(Decimal::from),
        list: None,
    };
    let discounted = Charged { list: Some(decimal("6")), ..charge("5", Some(25)) };
    let charges = BTreeMap::from([
        (day(1), charge("1.2", Some(12))),
        (day(2), discounted),
        (day(3), charge("0.1", None)),
        (day(4), charge("9", None)),
    ]);
    // The bill of the third knows half an hour of it.
    let end = |number: u32| at(number, 0);
    let covers = BTreeMap::from([
        (day(1), end(2)),
        (day(2), end(3)),
        (day(3), at(3, 0) + TimeDelta::minutes(30)),
        (day(4), end(5)),
    ]);
    let (covered, rest) = accrue(&life(&grown()), at(1, 0), at(10, 0), &covers);
    let found = reconcile(&covered, &rest, &charges, false);
    let shown: Vec<String> = found
        .iter()
        .map(|one| {
            let parts = one.explained.iter().map(|(reason, part)| format!("{} {part}", reason.name()));
            format!(
                "{} {} {} {}",
                one.day.day(),
                one.effective(),
                one.pending,
                parts.collect::<Vec<_>>().join(", ")
            )
        })
        .collect();
    assert_eq!(
        shown,
        ["1 1.2 0 ", "2 5 0 hours 0.175, price 1.625, discount -1", "3 0.2 0.1 ", "4 9 0 no_events 9"]
    );
    for one in &found {
        let explained: Decimal = one.explained.iter().map(|(_, part)| *part).sum();
        assert_eq!(explained, one.difference, "{one:?}");
    }
}

fn any_event() -> impl Strategy<Value = Lifecycle> {
    let cents = |cents: i64| hourly(&Decimal::new(cents, 2).to_string());
    let happened = prop_oneof![
        (0_i64..100).prop_map(move |n| (LifecycleKind::Provisioned, cents(n))),
        (0_i64..100).prop_map(move |n| (LifecycleKind::Scaled, cents(n))),
        (0_i64..5).prop_map(|n| {
            (LifecycleKind::Scaled, SizeTold { count: Some(Decimal::from(n)), ..SizeTold::default() })
        }),
        any::<bool>().prop_map(|running| {
            (LifecycleKind::Scaled, SizeTold { running: Some(running), ..SizeTold::default() })
        }),
        Just((LifecycleKind::Deleted, SizeTold::default())),
    ];
    (0_i64..1_000_000, any::<u128>(), happened)
        .prop_map(|(seconds, id, (kind, told))| event(id, at(1, 0) + TimeDelta::seconds(seconds), kind, told))
}

proptest! {
    #[test]
    fn order_and_repeats_change_nothing(
        (events, shuffled) in proptest::collection::vec(any_event(), 0..20).prop_flat_map(|events| {
            let twice: Vec<Lifecycle> = events.iter().chain(&events).cloned().collect();
            (Just(events), Just(twice).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(life(&events), life(&shuffled));
    }

    #[test]
    fn parts_of_a_period_sum_to_the_whole(
        events in proptest::collection::vec(any_event(), 0..20), cut in 0_i64..1_000_000,
    ) {
        let life = life(&events);
        let cut = at(1, 0) + TimeDelta::seconds(cut);
        let none = BTreeMap::new();
        let of = |from, until| accrue(&life, from, until, &none).1;
        let seconds = |accrual: &Accrual| -> i64 { accrual.days.values().map(|day| day.priced_seconds).sum() };
        let (all, before, after) = (of(at(1, 0), at(20, 0)), of(at(1, 0), cut), of(cut, at(20, 0)));
        prop_assert_eq!(seconds(&before) + seconds(&after), seconds(&all));
        let lost = (before.cost() + after.cost() - all.cost()).abs();
        prop_assert!(lost <= Decimal::new(1, SCALE), "{} is lost", lost);
    }

    #[test]
    fn what_a_bill_covers_and_the_rest_are_the_whole(
        events in proptest::collection::vec(any_event(), 0..20),
        covers in proptest::collection::btree_map(1_u32..14, 0_i64..86_400, 0..10),
    ) {
        let covers = covers
            .into_iter()
            .map(|(number, second)| (day(number), at(number, 0) + TimeDelta::seconds(second)))
            .collect();
        let life = life(&events);
        let (covered, rest) = accrue(&life, at(1, 0), at(20, 0), &covers);
        let all = accrue(&life, at(1, 0), at(20, 0), &BTreeMap::new()).1;
        let seconds = |accrual: &Accrual| -> i64 {
            accrual.days.values().map(|day| day.priced_seconds + day.unpriced_seconds).sum()
        };
        prop_assert_eq!(seconds(&covered) + seconds(&rest), seconds(&all));
    }
}

#[test]
fn a_standing_is_that_after_the_last_event() {
    let sku = |name: &str| SizeTold {
        sku: Some(schemas::changes::cost::SkuTold { sku: name.into(), ..Default::default() }),
        ..hourly("1")
    };
    let running = |running| SizeTold { running: Some(running), ..SizeTold::default() };
    let mut events = vec![
        event(4, at(3, 0), LifecycleKind::Scaled, running(false)),
        event(1, at(1, 0), LifecycleKind::Provisioned, sku("small")),
        event(3, at(2, 0), LifecycleKind::Scaled, running(false)),
        event(2, at(1, 5), LifecycleKind::Scaled, sku("large")),
    ];
    let found = standing(&events);
    assert_eq!(found.sku.map(|sku| sku.sku), Some("large".to_owned()));
    assert_eq!((found.exists, found.stopped_at), (true, Some(at(2, 0))));
    events.push(event(5, at(4, 0), LifecycleKind::Scaled, running(true)));
    assert_eq!(standing(&events).stopped_at, None);
    events.push(event(6, at(5, 0), LifecycleKind::Deleted, SizeTold::default()));
    assert_eq!(standing(&events), Standing::default());
}
