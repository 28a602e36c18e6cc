//! Failed deliveries: retried, halved, and a single record at last parked or set aside.

use std::time::Duration;

use schemas::ParkReason;
use sinks::{Batch, DeliveryError, HaltReason, RefusedRecord, Settlement, Sink, TopicPartition};
use tracing::{error, warn};

use super::{FailingRecord, Job, Worker};
use crate::runtime::{
    clock::Clock,
    deliver::backoff::Backoff,
    deliver::batching::{Split, cut, park_the_one, split},
};

/// Interval at which a misconfigured sink is probed; a late migration resolves it.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// Failures of one batch before it is halved. Parts of it are halved at their first.
const FAILURES_BEFORE_HALVING: u32 = 2;
/// Failures of a single record in a row before its partition is set aside, so that others continue.
const FAILURES_IN_A_ROW: u32 = 3;
/// Failures of a single record, all together, before it is parked.
const FAILURES_BEFORE_PARKING: u32 = 10;

/// Kind of failure of the work on a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The work broke off; whether the batch is the cause is unknown.
    Interrupted,
    /// The work exceeded its time limit.
    TooLate,
}

impl<S: Sink, T: Clock> Worker<S, T> {
    pub(super) async fn failed(
        &mut self,
        mut job: Job<S::Change>,
        error: DeliveryError,
        jobs: &mut Vec<Job<S::Change>>,
    ) {
        self.shared.seen.delivery_failed(&error);
        match error {
            DeliveryError::Pending { wait } => {
                self.obey_for(wait).await;
                jobs.push(job);
            }
            DeliveryError::Paused { wait, why } => {
                self.say(&job.batch, &HaltReason::paused(why)).await;
                self.obey_for(wait).await;
                jobs.push(job);
            }
            DeliveryError::Refused(records) => {
                // Its partition's limit counts them before any of them is parked.
                for RefusedRecord { index, reason, detail } in records {
                    job.batch.records[index].settlement = Settlement::Park { reason, detail };
                }
                jobs.push(job);
            }
            DeliveryError::Unavailable(why) => {
                let wait = Backoff::DELIVERY.wait(job.failures, &mut self.random);
                let (sink, attempt) = (self.sink.name(), job.failures + 1);
                warn!(sink, error = %why, attempt, "delivery failed, retrying");
                job.failures = job.failures.saturating_add(1);
                self.obey_for(wait).await;
                jobs.push(job);
            }
            DeliveryError::RetryAfter { wait, why } => {
                warn!(sink = self.sink.name(), error = %why, wait_s = wait.as_secs(), "delivery failed, retrying");
                self.obey_for(wait).await;
                jobs.push(job);
            }
            DeliveryError::Interrupted(why) => self.broken_off(job, Ended::Interrupted, why, jobs).await,
            DeliveryError::TimedOut(why) => self.broken_off(job, Ended::TooLate, why, jobs).await,
            DeliveryError::Misconfigured(why) => {
                error!(sink = self.sink.name(), error = %why, "the sink is misconfigured; will retry in 30 s");
                self.shared.seen.misconfigured(true);
                self.say(&job.batch, &HaltReason::misconfigured(why)).await;
                self.obey_for(PROBE_INTERVAL).await;
                jobs.push(job);
            }
            DeliveryError::Fenced => self.fenced(&job.batch),
            DeliveryError::Rejected { park_as, reason } => match split(job.batch) {
                Split::Parts(parts) => jobs.extend(parts.into_iter().rev().map(Job::from)),
                Split::One(one) if !can_be_parked(&one) => {
                    self.halt(&one, HaltReason::stuck(reason)).await;
                }
                Split::One(one) => jobs.push(parked(one, park_as, reason).into()),
            },
        }
    }

    /// The work on a batch broke off or took too long: it is retried once, then halved down to the record
    /// that causes it. Other partitions go first.
    async fn broken_off(
        &mut self,
        mut job: Job<S::Change>,
        ended: Ended,
        why: String,
        jobs: &mut Vec<Job<S::Change>>,
    ) {
        if job.batch.ranges.len() == 1 && job.batch.records.len() <= 1 {
            return self.single_failed(job, ended, why, jobs).await;
        }
        job.broken_off += 1;
        let attempt = job.broken_off;
        if job.is_suspect || attempt >= FAILURES_BEFORE_HALVING {
            warn!(sink = self.sink.name(), error = %why, records = job.batch.records.len(),
                  "delivery failed again, halving the batch");
            let Split::Parts(parts) = split(job.batch) else { unreachable!("it holds more than one record") };
            jobs.extend(parts.into_iter().rev().map(|batch| Job { is_suspect: true, ..Job::from(batch) }));
            return;
        }
        warn!(sink = self.sink.name(), error = %why, attempt, "delivery failed, retrying");
        let wait = Backoff::DELIVERY.wait(attempt, &mut self.random);
        self.obey_for(wait).await;
        jobs.push(job);
    }

    async fn single_failed(
        &mut self,
        job: Job<S::Change>,
        ended: Ended,
        why: String,
        jobs: &mut Vec<Job<S::Change>>,
    ) {
        let at = job.batch.ranges[0].partition;
        let offset = first_offset(&job.batch);
        let failing = self.failing.entry(at).or_insert(FailingRecord { offset, failures: 0 });
        if failing.offset != offset {
            *failing = FailingRecord { offset, failures: 0 };
        }
        failing.failures = failing.failures.saturating_add(1);
        let attempt = failing.failures;
        warn!(topic = %at.topic, partition = at.partition, offset, error = %why, attempt,
              "the delivery of a single record failed");
        let is_over = ended == Ended::TooLate && attempt >= FAILURES_BEFORE_PARKING;
        // What cannot be written down now is no proof against the record: the sink itself may be in trouble.
        if is_over && self.say_anew(&job.batch.ranges[0], &HaltReason::failing(why.clone())).await {
            self.failing.remove(&at);
            if can_be_parked(&job.batch) {
                jobs.push(parked(job.batch, ParkReason::DeliveryTimedOut, why).into());
            } else {
                self.halt(&job.batch, HaltReason::stuck(why)).await;
            }
        } else if attempt.is_multiple_of(FAILURES_IN_A_ROW) || attempt > FAILURES_BEFORE_PARKING {
            self.set_aside(&job.batch, HaltReason::failing(why), jobs).await;
        } else {
            let wait = Backoff::DELIVERY.wait(attempt, &mut self.random);
            self.obey_for(wait).await;
            let (own, others): (Vec<_>, Vec<_>) = jobs.drain(..).partition(|other| is_of(other, at));
            jobs.extend(own);
            jobs.push(job);
            jobs.extend(others);
        }
    }

    /// Sets a partition aside until it is claimed again, some seconds later, so that others are not delayed.
    async fn set_aside(
        &mut self,
        batch: &Batch<S::Change>,
        reason: HaltReason,
        jobs: &mut Vec<Job<S::Change>>,
    ) {
        self.say(batch, &reason).await;
        let range = &batch.ranges[0];
        jobs.retain(|job| !is_of(job, range.partition));
        self.retire(range.partition, range.owner_epoch);
        self.shared.notices.post(|board| {
            board.halted.insert(range.partition, (range.owner_epoch, reason));
        });
    }

    /// Whether the batch begins with a record that is known to fail, and holds more than that.
    pub(super) fn holds_more_than_a_failing_record(&self, batch: &Batch<S::Change>) -> bool {
        let begins_so = |at: &TopicPartition, offset: i64| {
            batch.ranges.iter().any(|range| range.partition == *at && range.start <= offset)
        };
        let is_more = batch.ranges.len() > 1 || batch.records.len() > 1;
        is_more && self.failing.iter().any(|(at, failing)| begins_so(at, failing.offset))
    }

    /// Takes the failing record out of a batch. Other partitions go first.
    pub(super) fn single_out(&mut self, job: Job<S::Change>, jobs: &mut Vec<Job<S::Change>>) {
        let batches = match split_partitions(job.batch) {
            Ok(batches) => batches,
            Err(batch) => {
                jobs.extend(cut(batch, 1).into_iter().rev().map(Job::from));
                return;
            }
        };
        let is_failing = |batch: &Batch<S::Change>| self.failing.contains_key(&batch.ranges[0].partition);
        let (failing, others): (Vec<_>, Vec<_>) = batches.into_iter().partition(is_failing);
        jobs.extend(failing.into_iter().chain(others).map(Job::from));
    }
}

fn is_of<C>(job: &Job<C>, at: TopicPartition) -> bool {
    job.batch.ranges.iter().any(|range| range.partition == at)
}

/// A batch for each partition, or the batch of the only one.
fn split_partitions<C>(batch: Batch<C>) -> Result<Vec<Batch<C>>, Batch<C>> {
    if batch.ranges.len() == 1 {
        return Err(batch);
    }
    match split(batch) {
        Split::Parts(parts) => Ok(parts),
        Split::One(one) => Err(one),
    }
}

fn first_offset<C>(batch: &Batch<C>) -> i64 {
    batch.records.first().map_or(batch.ranges[0].start, |record| record.offset)
}

fn can_be_parked<C>(batch: &Batch<C>) -> bool {
    batch.records.iter().any(|record| !matches!(record.settlement, Settlement::Park { .. }))
}

fn parked<C>(mut batch: Batch<C>, reason: ParkReason, detail: String) -> Batch<C> {
    let (at, offset) = (batch.ranges[0].partition, batch.records[0].offset);
    warn!(topic = %at.topic, partition = at.partition, offset, reason = reason.name(), error = %detail,
          "cannot deliver a record; parking it");
    park_the_one(&mut batch, reason, detail);
    batch
}
