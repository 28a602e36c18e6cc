//! A driver's handling of notices, and its metrics.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rand::{SeedableRng, rngs::StdRng};
use schemas::{Topic, codec::SchemaRef};
use sinks::{Claim, LastRecord, RawRecord, Settlement};
use tokio::sync::mpsc;

use super::*;
use crate::runtime::{
    consume::continuity::Watermarks,
    consume::driver::{Asked, Links},
    consume::intake::{Decision, Record},
    deliver::batching::BatchLimits,
    deliver::notices::Notices,
    deliver::slot::Slot,
    deliver::worker::Shared,
    observe::metrics::{StageMetrics, Tracing},
};

#[derive(Debug)]
struct Nothing;

impl Decide for Nothing {
    type Change = ();

    fn decide(&self, _: &Record<'_>, _: &RawRecord) -> Decision<()> {
        Decision::Settle { settlement: Settlement::Apply(Vec::new()), identity: None }
    }
}

impl Schemas for Nothing {
    fn want(&self, _: SchemaRef) {}
    fn is_answered(&self, _: SchemaRef) -> bool {
        true
    }
}

/// A log of ten records, of which the first three have expired.
#[derive(Default)]
struct Log {
    paused: RefCell<BTreeSet<TopicPartition>>,
}

impl Source for Log {
    fn watermarks(&self, _: TopicPartition) -> Result<Watermarks, String> {
        Ok(Watermarks { low: 3, high: 10 })
    }
    fn partitions(&self, _: Topic) -> Result<i32, String> {
        Ok(8)
    }
    fn seek(&self, _: &[(TopicPartition, i64)]) -> Result<(), String> {
        Ok(())
    }
    fn pause(&self, partitions: &[TopicPartition]) {
        self.paused.borrow_mut().extend(partitions);
    }
    fn resume(&self, partitions: &[TopicPartition]) {
        self.paused.borrow_mut().retain(|at| !partitions.contains(at));
    }
    fn handed_out(&self) -> Vec<(TopicPartition, Option<i64>)> {
        Vec::new()
    }
    fn commit(&self, _: &BTreeMap<TopicPartition, i64>) {}
}

const AT: TopicPartition = TopicPartition { topic: Topic::Activity, partition: 4 };

/// A driver that owns nothing yet, in a clock of its own.
struct Bench {
    driver: Driver<Nothing, Nothing>,
    log: Log,
    commands: mpsc::Receiver<Command>,
    now: Instant,
    epoch: i64,
}

impl Bench {
    fn new() -> Self {
        let seen = StageMetrics::new("audit", "weir-audit", Tracing::Off);
        let slot = Slot::new(BatchLimits::default());
        let shared = Arc::new(Shared { slot, notices: Notices::default(), seen });
        let (asked, commands) = mpsc::channel(64);
        let links = Links { shared, commands: asked, schemas: Nothing, cluster_id: "here".into() };
        let driver = Driver::new(Nothing, links, StdRng::seed_from_u64(1));
        Self { driver, log: Log::default(), commands, now: Instant::now(), epoch: 0 }
    }

    /// The group assigns the partition; a claim gets it at that position.
    fn assign(&mut self, position: i64, halted: Option<&str>) {
        let asked = self.driver.ask(&self.log, &[AT], self.now).expect("asked");
        drop(self.commands.try_recv());
        self.answer(&asked, position, halted);
    }

    fn answer(&mut self, asked: &Asked, position: i64, halted: Option<&str>) {
        self.epoch += 1;
        let claim = Claim {
            partition: AT,
            position,
            last: Some(LastRecord { offset: position - 1, print: [0; 32] }),
            owner_epoch: self.epoch,
            cluster_id: "here".into(),
            partitions: None,
            halted: halted.map(HaltReason::from_stored),
        };
        self.driver.answered(asked, Ok(vec![claim]), self.now);
    }

    /// Another owner has moved the position; `Ok` says after how long it is claimed again.
    fn fenced(&mut self) -> Result<Duration, Fatal> {
        let epoch = self.epoch;
        self.driver.links.shared.notices.post(|board| board.fenced.extend([(AT, epoch)]));
        self.driver.tend(&self.log, self.now)?;
        let began = self.now;
        loop {
            if let Ok(Command::Claim { reply, .. }) = self.commands.try_recv() {
                self.epoch += 1;
                let last = Some(LastRecord { offset: 4, print: [0; 32] });
                let (owner_epoch, cluster_id) = (self.epoch, "here".into());
                let claim = Claim {
                    partition: AT,
                    position: 5,
                    last,
                    owner_epoch,
                    cluster_id,
                    partitions: None,
                    halted: None,
                };
                reply.send(Ok(vec![claim])).expect("awaited");
                self.driver.tend(&self.log, self.now)?;
                return Ok(self.now.duration_since(began));
            }
            self.now += Duration::from_millis(50);
            self.driver.tend(&self.log, self.now)?;
        }
    }
}

#[test]
fn whoever_is_fenced_waits_longer_each_time_and_gives_up_the_sixth_time_within_a_minute() {
    let mut bench = Bench::new();
    bench.assign(5, None);
    let waits: Vec<_> = (0..5).map(|_| bench.fenced().expect("not yet").as_millis()).collect();
    assert_eq!(waits, [100, 200, 400, 800, 1_600]);
    assert_eq!(bench.fenced(), Err(Fatal::FenceStorm));
}

#[test]
fn being_fenced_now_and_then_is_no_storm() {
    let mut bench = Bench::new();
    bench.assign(5, None);
    for _ in 0..20 {
        assert_eq!(bench.fenced(), Ok(Duration::from_millis(100)));
        bench.now += FENCE_WINDOW;
    }
}

#[test]
fn a_notice_about_an_earlier_claim_is_old_news() {
    let mut bench = Bench::new();
    bench.assign(5, None);
    let before = bench.epoch;
    bench.assign(5, None);
    bench.driver.links.shared.notices.post(|board| board.fenced.extend([(AT, before)]));
    bench.driver.tend(&bench.log, bench.now).expect("nothing fatal");
    assert_eq!(bench.driver.intake.epoch_of(AT), Some(bench.epoch));
}

/// The end of the log is asked for before the claim: a process that was frozen in between compares an old end with a new
/// position.
#[test]
fn a_log_that_seems_truncated_is_asked_for_again_before_it_is_halted() {
    let mut bench = Bench::new();
    let halts = |bench: &mut Bench| {
        let commands = std::iter::from_fn(|| bench.commands.try_recv().ok());
        commands.filter(|command| matches!(command, Command::Halt { .. })).count()
    };
    bench.assign(12, None);
    assert_eq!(halts(&mut bench), 0, "it ends at 10, by what was known before");
    let again = bench.driver.request(&bench.log, &[AT]).expect("asked");
    bench.answer(&again, 12, None);
    assert_eq!(halts(&mut bench), 1, "it is ours, and ends there still");
}

/// Lines of a metric in Prometheus' text format, in all its labels.
fn told(handle: &PrometheusHandle, metric: &str) -> Vec<String> {
    let text = handle.render();
    let lines = text.lines().filter(|line| line.starts_with(&format!("{metric}{{")));
    lines.map(str::to_owned).collect()
}

#[test]
fn halted_partitions_are_counted_by_reason_until_they_go_on() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let mut bench = Bench::new();
        let gauge = |reason: &str, n: i32| {
            format!(r#"weir_halted_partitions{{stage="audit",reason="{reason}"}} {n}"#)
        };
        let now = |bench: &mut Bench, position, halted| {
            bench.assign(position, halted);
            told(&handle, "weir_halted_partitions")
        };
        // Found by us: the position lies before the oldest record.
        assert_eq!(now(&mut bench, 1, None), [gauge("retention_gap", 1)]);
        assert!(
            bench.driver.is_ready(),
            "a halted partition is somebody's business, not a reason to restart"
        );
        assert!(bench.log.paused.borrow().is_empty() || bench.driver.intake.epoch_of(AT).is_none());
        let lines = now(&mut bench, 5, Some("parking_limit"));
        assert!(lines.contains(&gauge("retention_gap", 0)) && lines.contains(&gauge("parking_limit", 1)));
        let lines = now(&mut bench, 5, None);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.ends_with(" 0")), "{lines:?}");
        let unverified = |n: i32| format!(r#"weir_continuity_unverified_total{{stage="audit"}} {n}"#);
        assert_eq!(told(&handle, "weir_continuity_unverified_total"), [unverified(0)]);
        // The last settled record has expired, the position has not.
        now(&mut bench, 3, None);
        assert_eq!(told(&handle, "weir_continuity_unverified_total"), [unverified(1)]);
    });
}

#[test]
fn a_halted_partition_is_asked_for_again_and_again_until_somebody_has_resumed_it() {
    let mut bench = Bench::new();
    bench.assign(5, Some("parking_limit"));
    let halted_at = bench.now;
    bench.now = halted_at + HALTED_PROBE.mul_f64(0.9);
    bench.driver.tend(&bench.log, bench.now).expect("nothing fatal");
    assert!(bench.commands.try_recv().is_err(), "too early");
    bench.now = halted_at + HALTED_PROBE;
    bench.driver.tend(&bench.log, bench.now).expect("nothing fatal");
    let Ok(Command::Claim { reply, .. }) = bench.commands.try_recv() else { panic!("a claim") };
    let last = Some(LastRecord { offset: 4, print: [0; 32] });
    let claim = Claim {
        partition: AT,
        position: 5,
        last,
        owner_epoch: 9,
        cluster_id: "here".into(),
        partitions: None,
        halted: None,
    };
    reply.send(Ok(vec![claim])).expect("awaited");
    bench.driver.tend(&bench.log, bench.now).expect("nothing fatal");
    assert_eq!(bench.driver.intake.epoch_of(AT), Some(9));
}

#[test]
fn another_number_of_partitions_halts_the_topics_partitions() {
    let mut bench = Bench::new();
    bench.assign(5, None);
    bench.driver.partitions_changed(&bench.log, Topic::Usage, 4, 8);
    assert_eq!(bench.driver.intake.epoch_of(AT), Some(bench.epoch), "another topic's");
    bench.driver.partitions_changed(&bench.log, AT.topic, 8, 12);
    assert_eq!(bench.driver.intake.epoch_of(AT), None);
    assert!(bench.log.paused.borrow().contains(&AT));
    let Ok(Command::Halt { partition, owner_epoch, reason }) = bench.commands.try_recv() else {
        panic!("it is written down")
    };
    assert_eq!((partition, owner_epoch), (AT, bench.epoch));
    assert_eq!(reason.to_string(), "partitions_changed: from 8 to 12");
}

#[test]
fn a_topic_that_was_widened_while_nobody_read_it_halts() {
    for (stored, is_halted) in [(None, false), (Some(8), false), (Some(4), true)] {
        let mut bench = Bench::new();
        let asked = bench.driver.ask(&bench.log, &[AT], bench.now).expect("asked");
        let Ok(Command::Claim { requests, .. }) = bench.commands.try_recv() else { panic!("a claim") };
        assert_eq!(requests[0].partitions, Some(8), "kept with the first claim");
        let claim = Claim {
            partition: AT,
            position: 5,
            last: Some(LastRecord { offset: 4, print: [0; 32] }),
            owner_epoch: 1,
            cluster_id: "here".into(),
            partitions: stored,
            halted: None,
        };
        let places = bench.driver.answered(&asked, Ok(vec![claim]), bench.now);
        assert_eq!((places.is_empty(), bench.driver.intake.epoch_of(AT).is_none()), (is_halted, is_halted));
        let written = match bench.commands.try_recv() {
            Ok(Command::Halt { reason, .. }) => Some(reason.to_string()),
            _ => None,
        };
        assert_eq!(written, is_halted.then(|| "partitions_changed: from 4 to 8".to_owned()), "{stored:?}");
    }
}
