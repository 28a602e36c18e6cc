//! A worker on a bench: a scripted sink, a clock that jumps, commands and batches by letters.

use std::sync::Mutex;

use futures_executor::LocalPool;
use futures_util::task::LocalSpawnExt;
use rand::SeedableRng;
use schemas::{ParkReason, Topic};
use sinks::{Guarantee, LastRecord, RawRecord, RecordChanges};

use super::super::*;
use crate::runtime::{
    deliver::batching::{BatchLimits, Filling, Placed},
    observe::metrics::Tracing,
    simulation::clock::Simulated,
};

/// Log of the calls to a sink: `0:3..5 ok`, `0:3..5 parked`, `halt 0 stuck`.
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

    const GUARANTEE: Guarantee = Guarantee::ExactlyOnce;

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
            Err(DeliveryError::Unavailable(_) | DeliveryError::RetryAfter { .. }) => "away",
            Err(DeliveryError::Pending { .. }) => "pending",
            Err(DeliveryError::Paused { .. }) => "paused",
            Err(DeliveryError::Interrupted(_)) => "broken off",
            Err(DeliveryError::TimedOut(_)) => "slow",
            Err(DeliveryError::Rejected { .. }) => "refused",
            Err(DeliveryError::Refused(_)) => "some refused",
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
        reason: Option<&HaltReason>,
    ) -> Result<(), DeliveryError> {
        let reason = reason.map_or_else(|| "lifted".to_owned(), HaltReason::to_string);
        self.note(format!("halt {} {reason}", partition.partition));
        Ok(())
    }
}

pub(super) fn tp(partition: i32) -> TopicPartition {
    TopicPartition { topic: Topic::Activity, partition }
}

/// A batch: per partition one letter a record. `p` is to be parked, all others are to be applied.
pub(super) fn batch(partitions: &[(i32, &str)]) -> Filling<char> {
    let mut filling = Filling::default();
    for (partition, letters) in partitions {
        for (offset, letter) in (0..).zip(letters.chars()) {
            let settlement = match letter {
                'p' => Settlement::Park { reason: ParkReason::Undecodable, detail: String::new() },
                other => Settlement::Apply(vec![other]),
            };
            let raw = RawRecord { timestamp_ms: offset, ..RawRecord::default() };
            let record =
                RecordChanges { range: 0, offset, settlement, raw, identity: None, kept: KeptBytes::All };
            filling.push(Placed { partition: tp(*partition), owner_epoch: 1, cursor: offset, record });
        }
    }
    filling
}

/// A worker at work in simulated time.
pub(super) struct Bench {
    pool: LocalPool,
    pub(super) clock: Simulated,
    pub(super) shared: Arc<Shared<char>>,
    pub(super) commands: mpsc::Sender<Command>,
    asked: Asked,
}

impl Bench {
    pub(super) fn new(
        answer: impl FnMut(&Batch<char>) -> Result<(), DeliveryError> + Send + 'static,
    ) -> Self {
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
    pub(super) fn settle(&mut self) {
        self.pool.run_until_stalled();
        while self.clock.advance() {
            self.pool.run_until_stalled();
        }
    }

    pub(super) fn deliver(&mut self, mut filling: Filling<char>) -> Vec<String> {
        assert!(self.shared.slot.offer(&mut filling), "the slot is empty");
        self.settle();
        std::mem::take(&mut self.asked.lock().expect("held briefly"))
    }

    /// Claims a partition again, as its driver does, and delivers these records from the offset on.
    pub(super) fn claim_and_deliver(&mut self, partition: i32, from: i64, letters: &str) -> Vec<String> {
        let (reply, mut answer) = oneshot::channel();
        let requests = vec![ClaimRequest { partition: tp(partition), low: from, partitions: None }];
        self.commands.try_send(Command::Claim { requests, reply }).expect("room");
        self.settle();
        let claims = answer.try_recv().expect("answered").expect("claimed");
        let mut filling = Filling::default();
        for (offset, letter) in (from..).zip(letters.chars()) {
            let settlement = Settlement::Apply(vec![letter]);
            let (raw, kept) = (RawRecord::default(), KeptBytes::All);
            let record = RecordChanges { range: 0, offset, settlement, raw, identity: None, kept };
            let owner_epoch = claims[0].owner_epoch;
            filling.push(Placed { partition: tp(partition), owner_epoch, cursor: offset, record });
        }
        self.deliver(filling)
    }
}

pub(super) fn refused() -> Result<(), DeliveryError> {
    Err(DeliveryError::Rejected { park_as: ParkReason::ConstraintViolated, reason: "23514".into() })
}

pub(super) fn holds(batch: &Batch<char>, letter: char) -> bool {
    let applies = |settlement: &Settlement<char>| match settlement {
        Settlement::Apply(changes) => changes.contains(&letter),
        Settlement::Ignore(_) | Settlement::Park { .. } => false,
    };
    batch.records.iter().any(|record| applies(&record.settlement))
}
