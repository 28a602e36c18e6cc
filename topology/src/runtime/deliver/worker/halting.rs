//! Halted and set-aside partitions: dropped, and stored with the reason.

use sinks::{Batch, HaltReason, OffsetRange, Sink, TopicPartition};
use tracing::{error, info, warn};

use super::Worker;
use crate::runtime::clock::Clock;

impl<S: Sink, T: Clock> Worker<S, T> {
    /// Halts the partitions of a batch, which is dropped.
    pub(super) async fn halt(&mut self, batch: &Batch<S::Change>, reason: HaltReason) {
        for range in &batch.ranges {
            self.halt_range(range, &reason).await;
        }
    }

    /// Halts a partition.
    pub(super) async fn halt_range(&mut self, range: &OffsetRange, reason: &HaltReason) {
        let (partition, owner_epoch) = (range.partition, range.owner_epoch);
        self.write_halt(partition, owner_epoch, reason).await;
        self.shared.notices.post(|board| {
            board.halted.insert(partition, (owner_epoch, reason.clone()));
        });
    }

    pub(super) async fn write_halt(
        &mut self,
        partition: TopicPartition,
        owner_epoch: i64,
        reason: &HaltReason,
    ) {
        self.retire(partition, owner_epoch);
        self.ailing.remove(&partition);
        error!(topic = %partition.topic, partition = partition.partition, %reason, "partition halted");
        // If this fails the partition is claimed again later, found in the same state, and halted anew.
        self.write_reason(partition, owner_epoch, Some(reason)).await;
    }

    /// Stores the reason for which the batch's partitions wait, if it resolves by itself. They keep their
    /// positions. False: not all of it could be stored.
    pub(super) async fn say(&mut self, batch: &Batch<S::Change>, reason: &HaltReason) -> bool {
        let mut is_written = true;
        for range in &batch.ranges {
            if self.ailing.get(&range.partition) != Some(&reason.kind) {
                is_written &= self.say_anew(range, reason).await;
            }
        }
        is_written
    }

    /// As [`Self::say`], of one partition, even if the same reason is stored already.
    pub(super) async fn say_anew(&mut self, range: &OffsetRange, reason: &HaltReason) -> bool {
        let is_written = self.write_reason(range.partition, range.owner_epoch, Some(reason)).await;
        if is_written {
            self.ailing.insert(range.partition, reason.kind);
        }
        is_written
    }

    /// Withdraws the stored reason.
    pub(super) async fn say_healed(&mut self, batch: &Batch<S::Change>) {
        for range in &batch.ranges {
            let (at, epoch) = (range.partition, range.owner_epoch);
            if self.ailing.contains_key(&at) && self.write_reason(at, epoch, None).await {
                self.ailing.remove(&at);
                self.shared.seen.halted(at, None);
            }
        }
    }

    /// Returns whether it could be stored.
    async fn write_reason(
        &mut self,
        partition: TopicPartition,
        owner_epoch: i64,
        reason: Option<&HaltReason>,
    ) -> bool {
        let written = self.sink.set_halted(partition, owner_epoch, reason).await;
        if let Err(error) = &written {
            warn!(%error, "cannot store whether the partition is halted");
        }
        written.is_ok()
    }

    pub(super) fn fenced(&mut self, batch: &Batch<S::Change>) {
        for range in &batch.ranges {
            self.retire(range.partition, range.owner_epoch);
        }
        info!(partitions = batch.ranges.len(), "fenced: another owner moved a position; dropping the batch");
        self.shared.notices.post(|board| {
            board.fenced.extend(batch.ranges.iter().map(|range| (range.partition, range.owner_epoch)));
        });
    }

    /// Claims partitions again whose position an operator has moved, like those that another process has
    /// taken over.
    pub(super) async fn look_for_moves(&mut self) {
        let held: Vec<(TopicPartition, i64)> = self
            .retired
            .iter()
            .filter(|(_, retired)| **retired < i64::MAX)
            .map(|(partition, retired)| (*partition, retired + 1))
            .collect();
        if held.is_empty() {
            return;
        }
        match self.sink.lost(&held).await {
            Ok(lost) if lost.is_empty() => {}
            Ok(lost) => {
                for (partition, owner_epoch) in &lost {
                    self.retire(*partition, *owner_epoch);
                }
                info!(partitions = lost.len(), "an idle partition's position was moved; claiming it again");
                self.shared.notices.post(|board| board.fenced.extend(lost));
            }
            Err(error) => warn!(%error, "cannot check for moved positions; will retry"),
        }
    }

    pub(super) fn retire(&mut self, partition: TopicPartition, owner_epoch: i64) {
        let retired = self.retired.entry(partition).or_insert(owner_epoch);
        *retired = owner_epoch.max(*retired);
    }
}
