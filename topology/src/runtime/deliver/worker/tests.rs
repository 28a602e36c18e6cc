//! The worker between a slot and a scripted sink: what it delivers after which answer.

use std::sync::Mutex;

use futures_executor::LocalPool;
use futures_util::task::LocalSpawnExt;
use rand::SeedableRng;
use schemas::{ParkReason, Topic};
use sinks::{LastRecord, RawRecord, RecordChanges};

use super::*;
use crate::runtime::{
    deliver::batching::{BatchLimits, Filling, Placed},
    observe::metrics::Tracing,
    simulation::clock::Simulated,
};

/// What a sink was asked, in short: `0:3..5 ok`, `0:3..5 parked`, `halt 0 stuck`.
type Asked = Arc<Mutex<Vec<String>>>;
type Answer = Box<dyn FnMut(&Batch<char>) -> Result<(), DeliveryError> + Send>;

struct Scripted {
    answer: Answer,
    asked: Asked,
    epoch: i64,
}

impl Scripted {
    fn note(&self, line: String) {
        self.asked.lock().expect("held briefly").push(line);
    }
}

impl Sink for Scripted {
    type Change = char;

    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn claim(&mut self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> {
        self.epoch += 1;
        let claim = |request: &ClaimRequest| Claim {
            partition: request.partition,
            position: request.low,
            last: None::<LastRecord>,
            owner_epoch: self.epoch,
            cluster_id: "here".into(),
            partitions: None,
            halted: None,
        };
        Ok(requests.iter().map(claim).collect())
    }

    async fn deliver(&mut self, batch: &Batch<char>) -> Result<Settled, DeliveryError> {
        let answer = (self.answer)(batch);
        let ranges: Vec<String> = batch
            .ranges
            .iter()
            .map(|range| format!("{}:{}..{}", range.partition.partition, range.start, range.upto))
            .collect();
        let is_park = |record: &RecordChanges<char>| matches!(record.settlement, Settlement::Park { .. });
        let word = match &answer {
            Ok(()) if batch.records.iter().any(is_park) => "parked",
            Ok(()) => "ok",
            Err(DeliveryError::Unavailable(_)) => "away",
            Err(DeliveryError::TimedOut(_)) => "slow",
            Err(DeliveryError::Rejected { .. }) => "refused",
            Err(DeliveryError::Misconfigured(_)) => "misconfigured",
            Err(DeliveryError::Fenced) => "fenced",
        };
        self.note(format!("{} {word}", ranges.join(" ")));
        answer.map(|()| {
            let mut settled =
                Settled { ranges: vec![RangeCounts::default(); batch.ranges.len()], ..Settled::default() };
            for (index, record) in batch.records.iter().enumerate() {
                let counts = &mut settled.ranges[record.range];
                // A record `c` has an id that belongs to other content.
                let conflicts = matches!(&record.settlement, Settlement::Apply(changes) if changes == &['c']);
                if conflicts {
                    settled.conflicts.push(index);
                }
                let parked = conflicts || is_park(record);
                *(if parked { &mut counts.parked } else { &mut counts.applied }) += 1;
            }
            settled
        })
    }

    async fn set_halted(
        &mut self,
        partition: TopicPartition,
        _: i64,
        reason: Option<&str>,
    ) -> Result<(), DeliveryError> {
        self.note(format!("halt {} {}", partition.partition, reason.unwrap_or("lifted")));
        Ok(())
    }
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition { topic: Topic::Activity, partition }
}

/// A batch: per partition one letter a record. `p` is to be parked, all others are to be applied.
fn batch(partitions: &[(i32, &str)]) -> Filling<char> {
    let mut filling = Filling::default();
    for (partition, letters) in partitions {
        for (offset, letter) in (0..).zip(letters.chars()) {
            let settlement = match letter {
                'p' => Settlement::Park { reason: ParkReason::Undecodable, detail: String::new() },
                other => Settlement::Apply(vec![other]),
            };
            let raw = RawRecord { timestamp_ms: offset, ..RawRecord::default() };
            let record = RecordChanges { range: 0, offset, settlement, raw, identity: None };
            filling.push(Placed { partition: tp(*partition), owner_epoch: 1, cursor: offset, record });
        }
    }
    filling
}

/// A worker at work in simulated time.
struct Bench {
    pool: LocalPool,
    clock: Simulated,
    shared: Arc<Shared<char>>,
    commands: mpsc::Sender<Command>,
    asked: Asked,
}

impl Bench {
    fn new(answer: impl FnMut(&Batch<char>) -> Result<(), DeliveryError> + Send + 'static) -> Self {
        let (pool, clock, asked) = (LocalPool::new(), Simulated::default(), Asked::default());
        let instruments = StageMetrics::new("test", "weir-test", Tracing::Off);
        let slot = Slot::new(BatchLimits::default());
        let shared = Arc::new(Shared { slot, notices: Notices::default(), seen: instruments });
        let (commands, inbox) = mpsc::channel(8);
        let sink = Scripted { answer: Box::new(answer), asked: Arc::clone(&asked), epoch: 0 };
        let stop = CancellationToken::new();
        let worker =
            Worker::new((sink, clock.clone()), Arc::clone(&shared), inbox, stop, StdRng::seed_from_u64(1));
        pool.spawner().spawn_local(worker.run()).expect("the pool is there");
        Self { pool, clock, shared, commands, asked }
    }

    /// Lets everything happen that happens without another record.
    fn settle(&mut self) {
        self.pool.run_until_stalled();
        while self.clock.advance() {
            self.pool.run_until_stalled();
        }
    }

    fn deliver(&mut self, mut filling: Filling<char>) -> Vec<String> {
        assert!(self.shared.slot.offer(&mut filling), "the slot is empty");
        self.settle();
        std::mem::take(&mut self.asked.lock().expect("held briefly"))
    }
}

fn refused() -> Result<(), DeliveryError> {
    Err(DeliveryError::Rejected { park_as: ParkReason::ConstraintViolated, reason: "23514".into() })
}

fn holds(batch: &Batch<char>, letter: char) -> bool {
    let applies = |settlement: &Settlement<char>| match settlement {
        Settlement::Apply(changes) => changes.contains(&letter),
        Settlement::Ignore(_) | Settlement::Park { .. } => false,
    };
    batch.records.iter().any(|record| applies(&record.settlement))
}

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

#[test]
fn a_batch_that_times_out_thrice_is_halved_and_a_record_that_does_for_ever_halts() {
    let mut bench =
        Bench::new(
            |batch| {
                if holds(batch, 's') { Err(DeliveryError::TimedOut("57014".into())) } else { Ok(()) }
            },
        );
    let asked = bench.deliver(batch(&[(0, "as")]));
    let count = |line: &str| asked.iter().filter(|asked| *asked == line).count();
    assert_eq!([count("0:0..2 slow"), count("0:0..1 ok"), count("0:1..2 slow")], [3, 1, 10]);
    assert_eq!(asked.last().map(String::as_str), Some("halt 0 stuck: 57014"));
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

/// Without a record: only transactions' markers lie between.
fn markers(partition: i32, passed: std::ops::Range<i64>) -> Filling<char> {
    let mut filling = Filling::default();
    filling.advance(tp(partition), 1, passed);
    filling
}

#[test]
fn a_range_without_records_is_delivered_and_retried_as_any_other() {
    let mut timeouts = 5;
    let mut bench = Bench::new(move |_| {
        timeouts -= 1;
        if timeouts > 0 { Err(DeliveryError::TimedOut("57014".into())) } else { Ok(()) }
    });
    let asked = bench.deliver(markers(0, 3..5));
    assert_eq!((asked.len(), asked.last().map(String::as_str)), (5, Some("0:3..5 ok")), "{asked:?}");
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
fn a_flood_of_conflicts_that_only_the_sink_can_see_halts_its_partition_after_the_batch() {
    let mut bench = Bench::new(|_| Ok(()));
    assert_eq!(
        bench.deliver(batch(&[(0, &"c".repeat(100)), (1, "a")])),
        ["0:0..100 1:0..1 ok"],
        "as many as may"
    );
    let mut bench = Bench::new(|_| Ok(()));
    let asked = bench.deliver(batch(&[(0, &"c".repeat(101)), (1, "a")]));
    assert_eq!(asked, ["0:0..101 1:0..1 ok", "halt 0 parking_limit"]);
    let board = bench.shared.notices.take().expect("news");
    assert_eq!(board.halted.keys().collect::<Vec<_>>(), [&tp(0)]);
    assert_eq!(board.settled.len(), 2, "what was settled stays settled");
    // Spread among good ones they are no flood.
    let mut bench = Bench::new(|_| Ok(()));
    let mixed = format!("{}{}", "c".repeat(60), "a").repeat(8);
    assert_eq!(bench.deliver(batch(&[(0, &mixed)])), ["0:0..488 ok"]);
}
