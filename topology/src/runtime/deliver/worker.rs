//! The worker: owns the sink, settles one batch after the other, and handles refusals.

mod failing;
mod halting;

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use rand::rngs::StdRng;
use sinks::{
    Batch, Claim, ClaimRequest, DeliveryError, Guarantee, HaltKind, HaltReason, KeptBytes, RangeCounts,
    Settled, Settlement, Sink, TopicPartition,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::runtime::{
    clock::Clock,
    deliver::backoff::Backoff,
    deliver::batching::{Split, cut, retain_ranges, split},
    deliver::notices::Notices,
    deliver::parking_limit::{Outcome, ParkingLimit, outcome_of, tenant_of},
    deliver::slot::Slot,
    observe::metrics::StageMetrics,
};

/// Time limit for a claim before it is given up.
pub(crate) const CLAIM_PATIENCE: Duration = Duration::from_secs(5);

/// Time without a batch after which the positions are checked, in case an operator moved one.
const IDLE: Duration = Duration::from_secs(5);

/// Request of the poll thread to the worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take ownership of partitions.
    Claim { requests: Vec<ClaimRequest>, reply: oneshot::Sender<Result<Vec<Claim>, DeliveryError>> },
    /// Release partitions; answered once none of their records is in flight.
    Release { partitions: Vec<TopicPartition>, reply: oneshot::Sender<()> },
    /// Store that a partition is halted.
    Halt { partition: TopicPartition, owner_epoch: i64, reason: HaltReason },
}

/// Parts of a worker that other threads share.
#[derive(Debug)]
pub(crate) struct Shared<C> {
    pub(crate) slot: Slot<C>,
    pub(crate) notices: Notices,
    pub(crate) seen: StageMetrics,
}

/// Owns the sink of one consumer.
pub(crate) struct Worker<S: Sink, T> {
    sink: S,
    clock: T,
    shared: Arc<Shared<S::Change>>,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
    random: StdRng,
    /// Owner epoch up to which no record is delivered any more.
    retired: HashMap<TopicPartition, i64>,
    limits: HashMap<TopicPartition, ParkingLimit>,
    /// Partitions whose stored reason lifts by itself.
    ailing: HashMap<TopicPartition, HaltKind>,
    failing: HashMap<TopicPartition, FailingRecord>,
}

/// The current batch, and the number of its failures.
struct Job<C> {
    batch: Batch<C>,
    /// Failures because the destination was unavailable.
    failures: u32,
    /// Failures because the work broke off or took too long.
    broken_off: u32,
    /// Whether it is a part of a batch that failed so.
    is_suspect: bool,
}

impl<C> From<Batch<C>> for Job<C> {
    fn from(batch: Batch<C>) -> Self {
        Self { batch, failures: 0, broken_off: 0, is_suspect: false }
    }
}

/// A single record whose delivery fails repeatedly.
#[derive(Debug, Clone, Copy)]
struct FailingRecord {
    /// Its offset, or the start of a range without records.
    offset: i64,
    failures: u32,
}

impl<S: Sink, T: Clock> Worker<S, T> {
    pub(crate) fn new(
        (sink, clock): (S, T),
        shared: Arc<Shared<S::Change>>,
        commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
        random: StdRng,
    ) -> Self {
        Self {
            sink,
            clock,
            shared,
            commands,
            stop,
            random,
            retired: HashMap::new(),
            limits: HashMap::new(),
            ailing: HashMap::new(),
            failing: HashMap::new(),
        }
    }

    /// Works until shutdown or until the poll thread ends. A transaction in flight is finished first.
    pub(crate) async fn run(mut self) {
        loop {
            let (shared, retired) = (Arc::clone(&self.shared), &self.retired);
            let clock = self.clock.clone();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                batch = shared.slot.take(|partition, epoch| is_retired(retired, partition, epoch)) => {
                    self.settle(batch).await;
                }
                () = async { clock.sleep(IDLE).await }, if S::GUARANTEE == Guarantee::AtLeastOnce => self.look_for_moves().await,
            }
        }
    }

    /// Delivers a batch, in smaller pieces if need be, until nothing of it is left to deliver.
    async fn settle(&mut self, batch: Batch<S::Change>) {
        // Pieces of the batch, the first on top; there are never more of them than records.
        let mut jobs = vec![Job::from(batch)];
        while let Some(mut job) = jobs.pop() {
            job.batch = retain_ranges(job.batch, |range| {
                !is_retired(&self.retired, range.partition, range.owner_epoch)
            });
            if job.batch.ranges.is_empty() {
                continue;
            }
            if self.holds_more_than_a_failing_record(&job.batch) {
                self.single_out(job, &mut jobs);
                continue;
            }
            if let Some(parts) = self.keep_to_the_limit(&mut job.batch).await {
                jobs.extend(parts.into_iter().rev().map(Job::from));
                continue;
            }
            self.keep_references(&mut job.batch);
            let began = self.clock.now();
            let span = self.shared.seen.delivery_span(&job.batch);
            let outcome = {
                use tracing::Instrument as _;
                self.sink.deliver(&job.batch).instrument(span).await
            };
            match outcome {
                Ok(settled) => {
                    let took = self.clock.now().duration_since(began);
                    self.settled(&job.batch, &settled, took).await;
                    self.shared.slot.give_back(job.batch);
                }
                Err(error) => self.failed(job, error, &mut jobs).await,
            }
            if self.stop.is_cancelled() {
                return;
            }
        }
    }

    async fn settled(&mut self, batch: &Batch<S::Change>, settled: &Settled, took: Duration) {
        self.shared.seen.settled(batch, settled, took);
        self.count(batch, settled);
        for range in &batch.ranges {
            if self.failing.get(&range.partition).is_some_and(|failing| failing.offset < range.upto) {
                self.failing.remove(&range.partition);
            }
        }
        self.shared.notices.post(|board| {
            board.settled.extend(batch.ranges.iter().map(|range| (range.partition, range.upto)));
        });
        self.say_healed(batch).await;
    }

    /// Counts the outcomes of the records. Only the sink detects that an id belongs to other content.
    fn count(&mut self, batch: &Batch<S::Change>, settled: &Settled) {
        let mut limits: Vec<ParkingLimit> = batch
            .ranges
            .iter()
            .map(|range| self.limits.remove(&range.partition).unwrap_or_default())
            .collect();
        let mut conflicts = settled.conflicts.iter().peekable();
        for (index, record) in batch.records.iter().enumerate() {
            let outcome = match conflicts.next_if(|conflict| **conflict == index) {
                Some(_) => Outcome::Own(tenant_of(record)),
                None => outcome_of(record),
            };
            let tenant = match &outcome {
                Outcome::Parked(tenant) | Outcome::Own(tenant) => tenant.clone(),
                Outcome::Settled => None,
            };
            if let (true, Some(tenant)) = (limits[record.range].count(outcome), tenant) {
                self.shared.seen.parked_over_limit(&tenant);
            }
        }
        for (range, limit) in batch.ranges.iter().zip(limits) {
            self.limits.insert(range.partition, limit);
        }
    }

    /// Reduces records to references whose tenant is far over its limit.
    fn keep_references(&self, batch: &mut Batch<S::Change>) {
        for (number, range) in batch.ranges.iter().enumerate() {
            let Some(limit) = self.limits.get(&range.partition).filter(|limit| limit.keeps_references())
            else {
                continue;
            };
            for record in batch.records.iter_mut().filter(|record| record.range == number) {
                if tenant_of(record).is_some_and(|tenant| limit.keeps_reference_of(&tenant)) {
                    record.kept = KeptBytes::Reference;
                }
            }
        }
    }

    /// Cuts the batch before the first record whose parking would break its partition's limit, and halts that
    /// partition once it comes first. `Some`: deliver these instead. `None`: deliver the batch as it is.
    async fn keep_to_the_limit(&mut self, batch: &mut Batch<S::Change>) -> Option<Vec<Batch<S::Change>>> {
        let is_park = |settlement: &Settlement<S::Change>| matches!(settlement, Settlement::Park { .. });
        if !batch.records.iter().any(|record| is_park(&record.settlement)) {
            return None;
        }
        if batch.ranges.len() > 1 {
            let Split::Parts(parts) = split(taken(batch)) else {
                unreachable!("several ranges always split")
            };
            return Some(parts);
        }
        let mut limit = self.limits.get(&batch.ranges[0].partition).cloned().unwrap_or_default();
        let beyond = batch.records.iter().position(|record| {
            limit.count(outcome_of(record));
            is_park(&record.settlement) && limit.is_broken()
        })?;
        let whole = taken(batch);
        if beyond == 0 {
            self.halt(&whole, HaltReason::parking_limit()).await;
            return Some(Vec::new());
        }
        Some(cut(whole, beyond).into())
    }

    /// Waits, and serves the poll thread's requests meanwhile.
    async fn obey_for(&mut self, wait: Duration) {
        let clock = self.clock.clone();
        let mut over = pin!(clock.sleep(wait));
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return self.stop.cancel(),
                },
                () = &mut over => return,
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Claim { requests, reply } => {
                let answer = self.claim(&requests, &reply).await;
                if reply.send(answer).is_err() {
                    info!("a claim took too long; it will be repeated");
                }
            }
            Command::Release { partitions, reply } => {
                for partition in partitions {
                    self.retired.insert(partition, i64::MAX);
                    self.limits.remove(&partition);
                    self.ailing.remove(&partition);
                    self.failing.remove(&partition);
                }
                if reply.send(()).is_err() {
                    info!("a transaction in flight outlasted a revocation");
                }
            }
            Command::Halt { partition, owner_epoch, reason } => {
                self.write_halt(partition, owner_epoch, &reason).await;
            }
        }
    }

    async fn claim(
        &mut self,
        requests: &[ClaimRequest],
        reply: &oneshot::Sender<Result<Vec<Claim>, DeliveryError>>,
    ) -> Result<Vec<Claim>, DeliveryError> {
        let deadline = self.clock.now() + CLAIM_PATIENCE;
        let mut attempt = 0;
        loop {
            let left = deadline.saturating_duration_since(self.clock.now());
            let answer = match self.clock.timeout(left, self.sink.claim(requests)).await {
                Some(answer) => answer,
                None => Err(DeliveryError::Unavailable("no answer to the claim within 5 s".into())),
            };
            match answer {
                Ok(claims) => {
                    for claim in &claims {
                        self.retired.insert(claim.partition, claim.owner_epoch - 1);
                        self.limits.insert(claim.partition, ParkingLimit::default());
                        if let Some(reason) =
                            claim.halted.as_ref().filter(|reason| reason.kind.heals_by_itself())
                        {
                            self.ailing.insert(claim.partition, reason.kind);
                        }
                    }
                    self.shared.seen.misconfigured(false);
                    return Ok(claims);
                }
                Err(
                    DeliveryError::Unavailable(_)
                    | DeliveryError::RetryAfter { .. }
                    | DeliveryError::Pending { .. }
                    | DeliveryError::Paused { .. }
                    | DeliveryError::Interrupted(_)
                    | DeliveryError::TimedOut(_),
                ) if self.clock.now() < deadline && !reply.is_closed() => {
                    self.clock.sleep(Backoff::DELIVERY.wait(attempt, &mut self.random)).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The batch, which leaves an empty one.
fn taken<C>(batch: &mut Batch<C>) -> Batch<C> {
    Batch {
        records: std::mem::take(&mut batch.records),
        ranges: std::mem::take(&mut batch.ranges),
        rule_set: batch.rule_set.take(),
    }
}

fn is_retired(retired: &HashMap<TopicPartition, i64>, partition: TopicPartition, owner_epoch: i64) -> bool {
    retired.get(&partition).is_some_and(|epoch| owner_epoch <= *epoch)
}

/// Sum of the outcomes of a batch's records.
pub(crate) fn total(settled: &Settled) -> RangeCounts {
    settled.ranges.iter().fold(RangeCounts::default(), |sum, counts| RangeCounts {
        applied: sum.applied + counts.applied,
        duplicate: sum.duplicate + counts.duplicate,
        ignored: sum.ignored + counts.ignored,
        parked: sum.parked + counts.parked,
    })
}

#[cfg(test)]
mod tests;
