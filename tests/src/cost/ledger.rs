//! The days follow from the set of charges alone.

use std::collections::BTreeSet;

use proptest::{
    prelude::{ProptestConfig, Strategy, any},
    strategy::ValueTree,
    test_runner::TestRunner,
};
use rust_decimal::Decimal;
use schemas::{Envelope, Event, Timestamp};

use super::fixture::{Place, at, charge, columns, events, replacing};
use crate::support::projection::{in_batches, in_partitions, shuffled};

const TABLES: [&str; 7] = [
    "cost_scope",
    "cost_series",
    "cost_charge",
    "cost_daily",
    "cost_monthly",
    "cost_daily_group",
    "cost_columns",
];

async fn built(partitions: Vec<Vec<Vec<Envelope>>>) -> Vec<Vec<String>> {
    Place::built(partitions, &TABLES).await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_partitions_and_batches_change_no_byte() {
    let mut runner = TestRunner::new(ProptestConfig::default());
    let worlds = (any::<u64>(), 1_usize..5, 1_usize..40);
    for _ in 0..3 {
        let (seed, partitions, size) = worlds.new_tree(&mut runner).expect("a world").current();
        let events = events(seed, 200);
        let (mut place, expected) = Place::built(vec![in_batches(&events, 200)], &TABLES).await;
        assert_eq!((expected[0].len(), expected[2].len()), (3, 200));
        for day in [5, 12, 30] {
            let now = at("2025-06-01T00:00:00Z") + chrono::TimeDelta::days(day);
            let stored = stored(&mut place, now).await;
            assert_eq!(stored, counted(&events, now), "seed {seed}, day {day}");
        }
        check_sums(&mut place, seed).await;
        // Everything comes twice, as a key keeps it: within its partition.
        let mut dealt = in_partitions(&shuffled(events, seed ^ 1), partitions, size);
        for batches in &mut dealt {
            batches.extend(shuffled(batches.clone(), seed ^ 2));
        }
        let found = built(dealt).await;
        for (table, (found, expected)) in TABLES.iter().zip(found.iter().zip(&expected)) {
            assert_eq!(found, expected, "{table}: seed {seed}, {partitions} partitions, batches of {size}");
        }
    }
}

/// Months and groups hold what the days hold, at every instant; keys of groups are those that the migration computes.
async fn check_sums(place: &mut Place, seed: u64) {
    for (table, key, day) in [
        ("cost_monthly", "s.series_key", "date_trunc('month', d.day::timestamp)::date"),
        ("cost_daily_group", "s.group_key", "d.day"),
    ] {
        let sums = "sum(d.charges)::bigint, sum(d.billed), sum(d.effective), sum(d.list), sum(d.contracted),
                    sum(d.consumed_quantity), sum(d.pricing_quantity)";
        let differing: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT count(*) FROM (
               (SELECT {key}, {day}, d.known_at, {sums}
                  FROM cost_daily AS d JOIN cost_series AS s USING (tenant_id, series_key) GROUP BY 1, 2, 3)
               EXCEPT (SELECT series_key, day, known_at, charges, billed, effective, list, contracted, consumed_quantity,
                              pricing_quantity FROM {table})) AS missing"
        )))
        .fetch_one(&mut place.owner)
        .await
        .expect("a count");
        assert_eq!(differing, 0, "{table}: seed {seed}");
    }
    let other_keys: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM cost_series
          WHERE group_key <> weir_cost_group_key(scope_key, ARRAY[sub_account, service, service_category, region, '',
                                                                 charge_category, charge_class, currency, '', '', '', ''])",
    )
    .fetch_one(&mut place.owner)
    .await
    .expect("a count");
    assert_eq!(other_keys, 0, "seed {seed}");
}

/// Billed cost in the daily rows at an instant.
async fn stored(place: &mut Place, now: Timestamp) -> Decimal {
    sqlx::query_scalar("SELECT coalesce(sum(billed), 0) FROM cost_daily WHERE known_at <= $1")
        .bind(now)
        .fetch_one(&mut place.owner)
        .await
        .expect("a sum")
}

/// Expected cost, in the specification's own words: of each scope the newest replacement, and the charges
/// that are not older.
fn counted(events: &[Envelope], now: Timestamp) -> Decimal {
    let usage = |envelope: &Envelope| match &envelope.event {
        Event::Usage(usage) => usage.clone(),
        other => panic!("no charge: {other:?}"),
    };
    let known: Vec<_> = events.iter().filter(|envelope| envelope.occurred_at <= now).collect();
    let accounts: BTreeSet<String> =
        known.iter().map(|envelope| usage(envelope).billing_account_id).collect();
    let of_account = |account: &String| -> Decimal {
        let own: Vec<_> = known.iter().filter(|event| usage(event).billing_account_id == *account).collect();
        let replaces = |event: &&&Envelope| usage(event).other_columns.contains_key("x_Replaces");
        let newest = own.iter().filter(|event| replaces(event)).map(|event| event.occurred_at).max();
        own.iter()
            .filter(|event| newest.is_none_or(|newest| event.occurred_at >= newest))
            .map(|event| usage(event).billed_cost)
            .sum()
    };
    accounts.iter().map(of_account).sum()
}

#[tokio::test]
async fn a_replacement_may_come_before_what_it_replaces_and_a_second_one_between() {
    let known = |day: i64| at("2025-06-01T00:00:00Z") + chrono::TimeDelta::days(day);
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    member.deliver(&[replacing(charge(1, 900, 0, known(10)))]).await;
    member.deliver(&[charge(2, 1_000, 0, known(1))]).await;
    member.deliver(&[replacing(charge(3, 950, 0, known(5)))]).await;
    // Known at the same instant as the replacement: of one delivery.
    member.deliver(&[charge(4, 1, 0, known(10))]).await;
    for (day, cents) in [(0, 0), (1, 1_000), (4, 1_000), (5, 950), (9, 950), (10, 901), (99, 901)] {
        assert_eq!(stored(&mut place, known(day)).await, Decimal::new(cents, 2), "day {day}");
    }
    let mut other = replacing(charge(5, 7, 0, known(50)));
    columns(&mut other).billing_account_id = "A-2".into();
    member.deliver(&[other]).await;
    assert_eq!(stored(&mut place, known(99)).await, Decimal::new(908, 2), "another account's is left alone");
}

#[tokio::test]
async fn amounts_of_any_size_are_added_up_to_the_last_digit() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let known = at("2025-06-01T00:00:00Z");
    let amounts = ["9999999999999999999999999999", "0.0000000000000000000000000001", "-9223372036854775808"];
    for (n, amount) in (0..).zip(amounts) {
        let mut envelope = charge(n, 0, 0, known);
        columns(&mut envelope).billed_cost = amount.parse().expect("a decimal");
        member.deliver(&[envelope]).await;
    }
    let sum: String = sqlx::query_scalar("SELECT sum(billed)::text FROM cost_daily")
        .fetch_one(&mut place.owner)
        .await
        .expect("a sum");
    assert_eq!(sum, "9999999990776627963145224191.0000000000000000000000000001");
}

#[tokio::test]
async fn one_id_with_two_contents_is_parked() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let known = at("2025-06-01T00:00:00Z");
    assert_eq!(member.deliver(&[charge(1, 5, 0, known)]).await, [1, 0, 0, 0]);
    assert_eq!(member.deliver(&[charge(1, 5, 0, known)]).await, [0, 1, 0, 0]);
    assert_eq!(member.deliver(&[charge(1, 6, 0, known)]).await, [0, 0, 0, 1]);
    assert_eq!(stored(&mut place, known).await, Decimal::new(5, 2));
}
