//! The worker between a slot and a scripted sink: what it delivers after which answer.

mod bench;

use std::sync::Mutex;

use schemas::ParkReason;
use sinks::{RawRecord, RecordChanges, RefusedRecord};

use self::bench::{Bench, batch, holds, refused, tp};
use super::{failing::PROBE_INTERVAL, *};
use crate::runtime::deliver::batching::{Filling, Placed};

/// Delivers to a sink that refuses `x`.
fn check(partitions: &[(i32, &str)], expected: &[&str]) {
    let mut bench = Bench::new(|batch| if holds(batch, 'x') { refused() } else { Ok(()) });
    assert_eq!(bench.deliver(batch(partitions)), expected);
}

#[test]
fn a_good_batch_is_one_delivery() {
    check(&[(0, "aaa"), (1, "aa")], &["0:0..3 1:0..2 ok"]);
}

#[test]
fn a_refused_record_is_found_by_partition_then_by_halves_and_parked_alone() {
    check(
        &[(0, "aa"), (1, "aaxa")],
        &[
            "0:0..2 1:0..4 refused",
            "0:0..2 ok",
            "1:0..4 refused",
            "1:0..2 ok",
            "1:2..4 refused",
            "1:2..3 refused",
            "1:2..3 parked",
            "1:3..4 ok",
        ],
    );
}

#[test]
fn what_can_be_neither_applied_nor_parked_halts_its_partition_only() {
    let mut bench = Bench::new(|batch| {
        let poisoned = batch.ranges.iter().any(|range| range.partition == tp(0));
        if poisoned { refused() } else { Ok(()) }
    });
    let asked = bench.deliver(batch(&[(0, "a"), (1, "a")]));
    assert_eq!(
        asked,
        ["0:0..1 1:0..1 refused", "0:0..1 refused", "0:0..1 refused", "halt 0 stuck: 23514", "1:0..1 ok"]
    );
    let board = bench.shared.notices.take().expect("news");
    assert_eq!(board.halted.keys().collect::<Vec<_>>(), [&tp(0)]);
    assert_eq!(board.settled.into_iter().collect::<Vec<_>>(), [(tp(1), 1)]);
}

#[test]
fn an_absent_sink_is_asked_again_and_nothing_is_parked() {
    let mut failures = 40;
    let mut bench = Bench::new(move |_| {
        failures -= 1;
        if failures > 0 { Err(DeliveryError::Unavailable("08006".into())) } else { Ok(()) }
    });
    let asked = bench.deliver(batch(&[(0, "aa")]));
    assert_eq!(asked.iter().filter(|line| *line == "0:0..2 away").count(), 39);
    assert_eq!(asked.last().map(String::as_str), Some("0:0..2 ok"));
}

#[test]
fn a_sink_that_names_a_time_is_asked_again_after_it() {
    let mut failures = 3;
    let mut bench = Bench::new(move |_| {
        failures -= 1;
        let (wait, why) = (Duration::from_secs(7), "429".to_owned());
        if failures > 0 { Err(DeliveryError::RetryAfter { wait, why }) } else { Ok(()) }
    });
    let began = bench.clock.now();
    assert_eq!(bench.deliver(batch(&[(0, "aa")])), ["0:0..2 away", "0:0..2 away", "0:0..2 ok"]);
    assert_eq!(bench.clock.now().duration_since(began), Duration::from_secs(14));
}

#[test]
fn a_misconfigured_sink_is_probed_until_somebody_has_mended_it() {
    let mut failures = 3;
    let mut bench = Bench::new(move |_| {
        failures -= 1;
        if failures > 0 { Err(DeliveryError::Misconfigured("42P01".into())) } else { Ok(()) }
    });
    let began = bench.clock.now();
    let asked = bench.deliver(batch(&[(0, "a")]));
    let said = "halt 0 misconfigured: 42P01";
    assert_eq!(
        asked,
        ["0:0..1 misconfigured", said, "0:0..1 misconfigured", "0:0..1 ok", "halt 0 lifted"],
        "said once, and taken back"
    );
    assert_eq!(bench.clock.now().duration_since(began), 2 * PROBE_INTERVAL);
}

/// A sink that takes for ever over `s`, and breaks off over `b`.
fn overworked() -> Bench {
    Bench::new(|batch| {
        if holds(batch, 's') {
            Err(DeliveryError::TimedOut("25P03".into()))
        } else if holds(batch, 'b') {
            Err(DeliveryError::Interrupted("40P01".into()))
        } else {
            Ok(())
        }
    })
}

#[test]
fn a_batch_that_fails_again_is_halved_and_a_record_that_goes_on_failing_is_set_aside() {
    let mut bench = overworked();
    let asked = bench.deliver(batch(&[(0, "asa"), (1, "aaa")]));
    assert_eq!(
        asked,
        [
            "0:0..3 1:0..3 slow",
            "0:0..3 1:0..3 slow",
            "0:0..3 slow",
            "0:0..1 ok",
            "0:1..3 slow",
            "0:1..2 slow",
            "1:0..3 ok",
            "0:1..2 slow",
            "0:1..2 slow",
            "halt 0 failing: 25P03",
        ],
        "the other partition goes first, and what lies behind the record waits"
    );
    let board = bench.shared.notices.take().expect("news");
    assert_eq!(board.halted[&tp(0)], (1, HaltReason::failing("25P03")));
    assert_eq!(board.settled.into_iter().collect::<Vec<_>>(), [(tp(0), 1), (tp(1), 3)]);
}

#[test]
fn a_single_record_that_takes_too_long_ten_times_is_parked() {
    let mut bench = overworked();
    let mut asked = bench.deliver(batch(&[(0, "s")]));
    for _ in 0..2 {
        asked.extend(bench.claim_and_deliver(0, 0, "saa"));
    }
    let slow = |asked: &[String]| asked.iter().filter(|line| *line == "0:0..1 slow").count();
    assert_eq!(slow(&asked), 9, "{asked:?}");
    let last = bench.claim_and_deliver(0, 0, "saa");
    assert_eq!(
        last,
        ["0:0..1 slow", "halt 0 failing: 25P03", "0:0..1 parked", "halt 0 lifted", "0:1..3 ok"],
        "and the halt is taken back"
    );
}

#[test]
fn a_single_record_that_breaks_off_for_ever_is_never_parked() {
    let mut bench = overworked();
    let mut asked = bench.deliver(batch(&[(0, "b")]));
    for _ in 0..20 {
        asked.extend(bench.claim_and_deliver(0, 0, "ba"));
    }
    let tries = asked.iter().filter(|line| *line == "0:0..1 broken off").count();
    assert!(tries > 20, "{tries}");
    assert!(!asked.iter().any(|line| line.contains("parked") || line.contains("stuck")), "{asked:?}");
    assert_eq!(
        bench.claim_and_deliver(0, 0, "a"),
        ["0:0..1 ok", "halt 0 lifted"],
        "and the next time it works"
    );
}

#[test]
fn a_fenced_batch_is_dropped_with_all_its_partitions_until_they_are_claimed_again() {
    let mut bench = Bench::new(|batch| {
        let old = batch.ranges.iter().any(|range| range.owner_epoch < 2);
        if old { Err(DeliveryError::Fenced) } else { Ok(()) }
    });
    assert_eq!(bench.deliver(batch(&[(0, "a"), (1, "a")])), ["0:0..1 1:0..1 fenced"]);
    let fenced = bench.shared.notices.take().expect("news").fenced;
    assert_eq!(fenced.into_iter().collect::<Vec<_>>(), [(tp(0), 1), (tp(1), 1)]);
    assert_eq!(bench.deliver(batch(&[(0, "a")])), Vec::<String>::new(), "the epoch is over");
    for _ in 0..2 {
        let (reply, mut answer) = oneshot::channel();
        let requests = vec![ClaimRequest { partition: tp(0), low: 0, partitions: None }];
        bench.commands.try_send(Command::Claim { requests, reply }).expect("room");
        bench.settle();
        assert!(answer.try_recv().expect("answered").is_ok());
    }
    let mut renewed = batch(&[]);
    let record = RecordChanges {
        range: 0,
        offset: 0,
        settlement: Settlement::Apply(vec!['a']),
        raw: RawRecord::default(),
        identity: None,
        kept: KeptBytes::All,
    };
    renewed.push(Placed { partition: tp(0), owner_epoch: 2, cursor: 0, record });
    assert_eq!(bench.deliver(renewed), ["0:0..1 ok"]);
}

#[test]
fn released_partitions_are_not_delivered_any_more() {
    let mut bench = Bench::new(|_| Ok(()));
    let (reply, mut released) = oneshot::channel();
    bench.commands.try_send(Command::Release { partitions: vec![tp(0)], reply }).expect("room");
    bench.settle();
    assert_eq!(released.try_recv(), Ok(()));
    assert_eq!(bench.deliver(batch(&[(0, "aa"), (1, "a")])), ["1:0..1 ok"]);
}

#[test]
fn parking_stops_before_the_hundred_and_first_in_a_row() {
    let mut bench = Bench::new(|_| Ok(()));
    let asked = bench.deliver(batch(&[(0, &"p".repeat(150)), (1, "a")]));
    assert_eq!(asked, ["0:0..100 parked", "halt 0 parking_limit", "1:0..1 ok"]);
}

#[test]
fn records_that_a_destination_refuses_are_counted_before_they_are_parked() {
    // It names up to 60 at once of those that are still to be applied.
    let mut bench = Bench::new(|batch| {
        let applied = batch.records.iter().enumerate();
        let refused: Vec<RefusedRecord> = applied
            .filter(
                |(_, record)| matches!(&record.settlement, Settlement::Apply(changes) if changes == &['x']),
            )
            .map(|(index, _)| RefusedRecord {
                index,
                reason: ParkReason::SiemRefused,
                detail: "status 400".into(),
            })
            .take(60)
            .collect();
        if refused.is_empty() { Ok(()) } else { Err(DeliveryError::Refused(refused)) }
    });
    let asked = bench.deliver(batch(&[(0, &format!("aax{}", "a".repeat(9)))]));
    assert_eq!(asked, ["0:0..12 some refused", "0:0..12 parked"], "one is parked, the others are applied");
    let asked = bench.deliver(batch(&[(1, &"x".repeat(300)), (2, "a")]));
    let parked: Vec<&String> = asked.iter().filter(|line| line.ends_with(" parked")).collect();
    assert_eq!(parked, ["1:0..100 parked"], "{asked:?}");
    assert!(asked.contains(&"halt 1 parking_limit".to_owned()), "{asked:?}");
    assert!(asked.contains(&"2:0..1 ok".to_owned()), "another partition goes on: {asked:?}");
}

/// Without a record: only transactions' markers lie between.
fn markers(partition: i32, passed: std::ops::Range<i64>) -> Filling<char> {
    let mut filling = Filling::default();
    filling.advance(tp(partition), 1, passed);
    filling
}

#[test]
fn a_range_without_records_is_delivered_and_retried_as_any_other() {
    let mut failures = 3;
    let mut bench = Bench::new(move |_| {
        failures -= 1;
        if failures > 0 { Err(DeliveryError::TimedOut("57014".into())) } else { Ok(()) }
    });
    let asked = bench.deliver(markers(0, 3..5));
    assert_eq!((asked.len(), asked.last().map(String::as_str)), (3, Some("0:3..5 ok")), "{asked:?}");
    let board = bench.shared.notices.take().expect("news");
    assert_eq!(board.settled.into_iter().collect::<Vec<_>>(), [(tp(0), 5)]);
}

#[test]
fn a_refused_range_without_records_halts_its_partition_only() {
    let mut bench = Bench::new(|batch| {
        let empty = batch.ranges.iter().any(|range| range.partition == tp(0));
        if empty { refused() } else { Ok(()) }
    });
    let mut both = markers(0, 3..5);
    both.append(batch(&[(1, "a")]));
    let asked = bench.deliver(both);
    assert_eq!(asked, ["0:3..5 1:0..1 refused", "0:3..5 refused", "halt 0 stuck: 23514", "1:0..1 ok"]);
}

#[test]
fn conflicts_are_their_publishers_fault_and_halt_nothing() {
    let mut bench = Bench::new(|_| Ok(()));
    let asked = bench.deliver(batch(&[(0, &"c".repeat(1_500)), (1, "a")]));
    assert_eq!(asked, ["0:0..1500 1:0..1 ok"]);
    assert!(bench.shared.notices.take().expect("news").halted.is_empty());
}

/// Records of this tenant, each to be parked.
fn poison_of(tenant: &str, offsets: std::ops::Range<i64>) -> Filling<char> {
    let mut filling = Filling::default();
    for offset in offsets {
        let settlement = Settlement::Park { reason: ParkReason::EventInvalid, detail: String::new() };
        let headers = [("ce_tenantid".to_owned(), Some(tenant.as_bytes().to_vec()))].into_iter().collect();
        let raw = RawRecord { headers, ..RawRecord::default() };
        let record =
            RecordChanges { range: 0, offset, settlement, raw, identity: None, kept: KeptBytes::All };
        filling.push(Placed { partition: tp(0), owner_epoch: 1, cursor: offset, record });
    }
    filling
}

#[test]
fn one_tenants_poison_is_parked_on_and_in_the_end_by_reference_only() {
    let references = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&references);
    let mut bench = Bench::new(move |batch| {
        let kept = batch.records.iter().filter(|record| record.kept == KeptBytes::Reference).count();
        *counted.lock().expect("held briefly") += kept;
        Ok(())
    });
    for start in (0..2_000).step_by(500) {
        let asked = bench.deliver(poison_of("loud", start..start + 500));
        assert_eq!(asked, [format!("0:{start}..{} parked", start + 500)]);
    }
    assert_eq!(*references.lock().expect("held briefly"), 500, "the batch after 1,000 beyond the limit");
    let mut bench = Bench::new(|_| Ok(()));
    let mut both = Filling::default();
    for start in (0..300).step_by(10) {
        both.append(poison_of(if start % 20 == 0 { "one" } else { "two" }, start..start + 10));
    }
    assert_eq!(
        bench.deliver(both).last().map(String::as_str),
        Some("halt 0 parking_limit"),
        "of two tenants"
    );
}
