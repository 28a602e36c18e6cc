//! The worker: owns the sink, settles one batch after the other, and decides what a refusal means.

mod halting;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use rand::rngs::StdRng;
use sinks::{
    Batch, Claim, ClaimRequest, DeliveryError, RangeCounts, Settled, Settlement, Sink, TopicPartition,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::runtime::{
    clock::Clock,
    consume::continuity::{HaltReason, lifts_by_itself},
    deliver::backoff::Backoff,
    deliver::batching::{Split, cut, park_the_one, retain_ranges, split},
    deliver::notices::Notices,
    deliver::parking_limit::ParkingLimit,
    deliver::slot::Slot,
    observe::metrics::StageMetrics,
};

/// How long a claim may be tried before it is given back as not to be had.
pub(crate) const CLAIM_PATIENCE: Duration = Duration::from_secs(5);
/// How often a misconfigured sink is probed: a late migration heals it.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// Statement timeouts of one batch before it is halved.
const TIMEOUTS_BEFORE_HALVING: u32 = 3;
/// Statement timeouts of one record before its partition is halted.
const TIMEOUTS_BEFORE_STUCK: u32 = 10;

/// What the poll thread asks of the worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take ownership of partitions.
    Claim { requests: Vec<ClaimRequest>, reply: oneshot::Sender<Result<Vec<Claim>, DeliveryError>> },
    /// Let go of partitions; answered once nothing of theirs is in hand.
    Release { partitions: Vec<TopicPartition>, reply: oneshot::Sender<()> },
    /// Write down that a partition must not go on.
    Halt { partition: TopicPartition, owner_epoch: i64, reason: HaltReason },
}

/// A worker's parts that others hold too.
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
    /// Nothing up to this owner epoch is delivered any more.
    retired: HashMap<TopicPartition, i64>,
    limits: HashMap<TopicPartition, ParkingLimit>,
    /// Their rows say that the sink is misconfigured.
    misconfigured: HashSet<TopicPartition>,
}

/// A batch in hand, and how often it failed.
struct Job<C> {
    batch: Batch<C>,
    failures: u32,
    timeouts: u32,
}

impl<C> From<Batch<C>> for Job<C> {
    fn from(batch: Batch<C>) -> Self {
        Self { batch, failures: 0, timeouts: 0 }
    }
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
            misconfigured: HashSet::new(),
        }
    }

    /// Works until told to stop or until the poll thread is gone. A transaction in hand is finished first.
    pub(crate) async fn run(mut self) {
        loop {
            let (shared, retired) = (Arc::clone(&self.shared), &self.retired);
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
            if let Some(parts) = self.keep_to_the_limit(&mut job.batch).await {
                jobs.extend(parts.into_iter().rev().map(Job::from));
                continue;
            }
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

    async fn failed(
        &mut self,
        mut job: Job<S::Change>,
        error: DeliveryError,
        jobs: &mut Vec<Job<S::Change>>,
    ) {
        self.shared.seen.delivery_failed(&error);
        match error {
            DeliveryError::Unavailable(why) => {
                let wait = Backoff::DELIVERY.wait(job.failures, &mut self.random);
                let (sink, attempt) = (self.sink.name(), job.failures + 1);
                warn!(sink, error = %why, attempt, "delivery failed, retrying");
                job.failures = job.failures.saturating_add(1);
                self.obey_for(wait).await;
                jobs.push(job);
            }
            DeliveryError::TimedOut(why) => self.too_slow(job, &why, jobs).await,
            DeliveryError::Misconfigured(why) => {
                error!(sink = self.sink.name(), error = %why, "misconfigured, trying again in 30 s");
                self.shared.seen.misconfigured(true);
                self.say_misconfigured(&job.batch, &why).await;
                self.obey_for(PROBE_INTERVAL).await;
                jobs.push(job);
            }
            DeliveryError::Fenced => self.fenced(&job.batch),
            DeliveryError::Rejected { park_as, reason } => match split(job.batch) {
                Split::Parts(parts) => jobs.extend(parts.into_iter().rev().map(Job::from)),
                Split::One(one) if !one.records.iter().any(|record| can_be_parked(&record.settlement)) => {
                    self.halt(&one, HaltReason::Stuck(reason)).await;
                }
                Split::One(mut one) => {
                    let (at, offset) = (one.ranges[0].partition, one.records[0].offset);
                    warn!(topic = %at.topic, partition = at.partition, offset, reason = park_as.name(),
                          error = %reason, "the sink refuses the record, parking it");
                    park_the_one(&mut one, park_as, reason);
                    jobs.push(one.into());
                }
            },
        }
    }

    /// A batch that ran into the statement timeout: retried, then halved; a single record halts at last.
    async fn too_slow(&mut self, mut job: Job<S::Change>, why: &str, jobs: &mut Vec<Job<S::Change>>) {
        job.timeouts += 1;
        let alone = job.batch.ranges.len() == 1 && job.batch.records.len() <= 1;
        if alone && job.timeouts >= TIMEOUTS_BEFORE_STUCK {
            return self.halt(&job.batch, HaltReason::Stuck(why.to_owned())).await;
        }
        let wait = Backoff::DELIVERY.wait(job.timeouts, &mut self.random);
        warn!(sink = self.sink.name(), error = %why, attempt = job.timeouts, "delivery timed out, retrying");
        self.obey_for(wait).await;
        if alone || job.timeouts < TIMEOUTS_BEFORE_HALVING {
            jobs.push(job);
        } else if let Split::Parts(parts) = split(job.batch) {
            jobs.extend(parts.into_iter().rev().map(Job::from));
        }
    }

    async fn settled(&mut self, batch: &Batch<S::Change>, settled: &Settled, took: Duration) {
        self.shared.seen.settled(batch, settled, took);
        let broken = self.count(batch, settled);
        self.shared.notices.post(|board| {
            board.settled.extend(batch.ranges.iter().map(|range| (range.partition, range.upto)));
        });
        self.say_healed(batch).await;
        for index in broken {
            self.halt_range(&batch.ranges[index], &HaltReason::ParkingLimit).await;
        }
    }

    /// Counts what became of the records. Answers the ranges in which the sink parked more than may be: only it sees
    /// that an id belongs to other content, so the limit is known to be broken once the batch is settled.
    fn count(&mut self, batch: &Batch<S::Change>, settled: &Settled) -> BTreeSet<usize> {
        let mut limits: Vec<ParkingLimit> = batch
            .ranges
            .iter()
            .map(|range| self.limits.remove(&range.partition).unwrap_or_default())
            .collect();
        let (mut conflicts, mut broken) = (settled.conflicts.iter().peekable(), BTreeSet::new());
        for (index, record) in batch.records.iter().enumerate() {
            let limit = &mut limits[record.range];
            let conflicts = conflicts.next_if(|conflict| **conflict == index).is_some();
            if conflicts && !limit.allows_another() {
                broken.insert(record.range);
            }
            limit.count(conflicts || matches!(record.settlement, Settlement::Park { .. }));
        }
        for (range, limit) in batch.ranges.iter().zip(limits) {
            self.limits.insert(range.partition, limit);
        }
        broken
    }

    /// Cuts the batch before the first record whose parking would break its partition's limit, and halts that
    /// partition once it comes first. `Some`: deliver these instead. `None`: deliver the batch as it is.
    async fn keep_to_the_limit(&mut self, batch: &mut Batch<S::Change>) -> Option<Vec<Batch<S::Change>>> {
        let is_park = |settlement: &Settlement<S::Change>| matches!(settlement, Settlement::Park { .. });
        if !batch.records.iter().any(|record| is_park(&record.settlement)) {
            return None;
        }
        if batch.ranges.len() > 1 {
            let whole = Batch {
                records: std::mem::take(&mut batch.records),
                ranges: std::mem::take(&mut batch.ranges),
            };
            let Split::Parts(parts) = split(whole) else { unreachable!("several ranges always split") };
            return Some(parts);
        }
        let mut limit = self.limits.get(&batch.ranges[0].partition).cloned().unwrap_or_default();
        let beyond = batch.records.iter().position(|record| {
            let park = is_park(&record.settlement);
            let beyond = park && !limit.allows_another();
            limit.count(park);
            beyond
        })?;
        let whole =
            Batch { records: std::mem::take(&mut batch.records), ranges: std::mem::take(&mut batch.ranges) };
        if beyond == 0 {
            self.halt(&whole, HaltReason::ParkingLimit).await;
            return Some(Vec::new());
        }
        Some(cut(whole, beyond).into())
    }

    /// Waits, but does what the poll thread asks meanwhile.
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
                    info!("a claim came too late; it will be made again");
                }
            }
            Command::Release { partitions, reply } => {
                for partition in partitions {
                    self.retired.insert(partition, i64::MAX);
                    self.limits.remove(&partition);
                    self.misconfigured.remove(&partition);
                }
                if reply.send(()).is_err() {
                    info!("the transaction in hand outlasted a revocation");
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
                        if claim.halted.as_deref().is_some_and(lifts_by_itself) {
                            self.misconfigured.insert(claim.partition);
                        }
                    }
                    self.shared.seen.misconfigured(false);
                    return Ok(claims);
                }
                Err(DeliveryError::Unavailable(_)) if self.clock.now() < deadline && !reply.is_closed() => {
                    self.clock.sleep(Backoff::DELIVERY.wait(attempt, &mut self.random)).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn can_be_parked<C>(settlement: &Settlement<C>) -> bool {
    !matches!(settlement, Settlement::Park { .. })
}

fn is_retired(retired: &HashMap<TopicPartition, i64>, partition: TopicPartition, owner_epoch: i64) -> bool {
    retired.get(&partition).is_some_and(|epoch| owner_epoch <= *epoch)
}

/// The sum of what became of a batch's records.
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
