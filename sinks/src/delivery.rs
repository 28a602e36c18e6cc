//! The contract between a stage and its sink.

use std::future::Future;

use schemas::ParkReason;

use crate::{
    batch::{Batch, LastRecord, TopicPartition},
    halt::HaltReason,
};

/// Destination of changes. A batch is delivered whole or not at all, together with its positions.
pub trait Sink: Send + 'static {
    /// Change that the sink writes.
    type Change: Send + Sync + 'static;

    /// Delivery guarantee of the sink.
    const GUARANTEE: Guarantee;

    /// The sink's name, for logs.
    fn name(&self) -> &'static str;

    /// Takes ownership of partitions: raises their owner epoch, so that the former owner is fenced, and
    /// returns the position of each. A partition never seen begins at its low watermark.
    fn claim(
        &mut self,
        requests: &[ClaimRequest],
    ) -> impl Future<Output = Result<Vec<Claim>, DeliveryError>> + Send;

    /// Writes the batch's changes, parked records and positions, all or nothing.
    fn deliver(
        &mut self,
        batch: &Batch<Self::Change>,
    ) -> impl Future<Output = Result<Settled, DeliveryError>> + Send;

    /// Stores that a partition is halted, with the reason; `None` lifts the halt. Fails `Fenced` under
    /// another's epoch.
    fn set_halted(
        &mut self,
        partition: TopicPartition,
        owner_epoch: i64,
        reason: Option<&HaltReason>,
    ) -> impl Future<Output = Result<(), DeliveryError>> + Send;

    /// Those of the partitions held under these owner epochs that another owner has claimed or an operator
    /// has moved since. Asked while there is nothing to deliver, of a sink that is
    /// [`Guarantee::AtLeastOnce`]: operators send these back.
    fn lost(
        &mut self,
        _held: &[(TopicPartition, i64)],
    ) -> impl Future<Output = Result<Vec<(TopicPartition, i64)>, DeliveryError>> + Send {
        async { Ok(Vec::new()) }
    }
}

/// Delivery guarantee: how often a change arrives at its destination, whichever process fails in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Changes and positions are written in one transaction.
    ExactlyOnce,
    /// Changes are sent before the position moves; some arrive again after a crash, with the same ids.
    AtLeastOnce,
}

/// A partition that a stage wants to own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The partition.
    pub partition: TopicPartition,
    /// Its low watermark: the first position of a new stage.
    pub low: i64,
    /// Number of partitions of its topic; kept with the first claim.
    pub partitions: Option<i32>,
}

/// An owned partition, with the stage's position in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to apply.
    pub position: i64,
    /// The last settled record, if any.
    pub last: Option<LastRecord>,
    /// The owner epoch of this claim.
    pub owner_epoch: i64,
    /// The cluster whose offsets these are.
    pub cluster_id: String,
    /// Number of partitions that the topic had when the stage first claimed this one.
    pub partitions: Option<i32>,
    /// Reason to halt the partition, if there is one.
    pub halted: Option<HaltReason>,
}

/// Counts of a delivered batch, per range of the batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Index as in [`Batch::ranges`].
    pub ranges: Vec<RangeCounts>,
    /// Records that were to be applied and were parked, since their ids belong to other content. Indices into
    /// [`Batch::records`], ascending. Empty when the commit's response was lost and the batch was found
    /// already applied.
    pub conflicts: Vec<usize>,
}

/// Each record is exactly one of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RangeCounts {
    /// Changed the read models.
    pub applied: i64,
    /// Records that were stored already, with equal content.
    pub duplicate: i64,
    /// Records without an effect, by a named rule.
    pub ignored: i64,
    /// Lie in `parked_record`.
    pub parked: i64,
}

/// A record that its destination refuses for its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Index into [`Batch::records`].
    pub index: usize,
    /// Class of the refusal.
    pub reason: ParkReason,
    /// The destination's answer, without payload.
    pub detail: String,
}

/// Error of delivering a batch; each variant tells the caller how to continue.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The destination is unavailable, regardless of the batch: retry the same batch, for ever.
    #[error("cannot be delivered now: {0}")]
    Unavailable(String),
    /// The destination asks for a pause, regardless of the batch: retry the same batch after it, for ever.
    #[error("cannot be delivered for {} s: {why}", wait.as_secs())]
    RetryAfter {
        /// Time to wait.
        wait: std::time::Duration,
        /// The destination's answer, without payload.
        why: String,
    },
    /// The destination has taken the batch and not confirmed it yet: deliver the same batch again after this
    /// time. Not a failure.
    #[error("not confirmed yet")]
    Pending {
        /// Time to wait.
        wait: std::time::Duration,
    },
    /// An operator has paused the sink, or the destination refuses every batch until somebody intervenes:
    /// deliver the same batch again after this time, for ever.
    #[error("paused: {why}")]
    Paused {
        /// Time to wait.
        wait: std::time::Duration,
        /// Name of the operator who paused the sink, or the destination's answer.
        why: String,
    },
    /// The work on this batch broke off, perhaps because of what it holds: retry, and halve the batch if it happens
    /// again. Never a reason to park a record.
    #[error("broke off: {0}")]
    Interrupted(String),
    /// The work on this batch took longer than it may: retry, and halve the batch if it happens again. A single record
    /// that takes too long every time is parked.
    #[error("took too long: {0}")]
    TimedOut(String),
    /// The batch is refused for its content: bisect, park the one record.
    #[error("refused: {reason}")]
    Rejected {
        /// Class of refusal, as [`ParkReason`] names it.
        park_as: ParkReason,
        /// The error message of Postgres, without payload.
        reason: String,
    },
    /// The destination refuses these records for their content: park them, and deliver the batch again. What it
    /// has taken is not sent again.
    #[error("{} records are refused", .0.len())]
    Refused(Vec<RefusedRecord>),
    /// The batch is refused for the system's configuration: halt and probe.
    #[error("misconfigured: {0}")]
    Misconfigured(String),
    /// Another owner has claimed a partition of the batch.
    #[error("another owner has taken the partition over")]
    Fenced,
}
