//! Handling of the worker's notices: positions reached, partitions halted, batches fenced.

use std::time::{Duration, Instant};

use sinks::{HaltReason, TopicPartition};
use tracing::{error, info, warn};

use super::{Driver, Due};
use crate::runtime::{
    consume::intake::Decide,
    consume::source::{Schemas, Source},
    deliver::notices::Board,
    deliver::worker::Command,
    fatal::Fatal,
};

/// Interval at which a halted partition is claimed again, in case an operator resumed it or its cause is
/// gone.
const HALTED_PROBE: Duration = Duration::from_secs(15);
/// Being fenced this often within [`FENCE_WINDOW`] means that owners fight: the process ends.
const FENCE_STORM: usize = 6;
const FENCE_WINDOW: Duration = Duration::from_mins(1);
const FIRST_FENCE_WAIT: Duration = Duration::from_millis(100);

impl<D: Decide, Q: Schemas> Driver<D, Q> {
    pub(super) fn heed(&mut self, source: &impl Source, board: Board, now: Instant) -> Result<(), Fatal> {
        for (partition, position) in board.settled {
            if self.intake.holds(partition) {
                self.settled.insert(partition, position);
                self.uncommitted.insert(partition, position);
            }
        }
        for (partition, (owner_epoch, reason)) in board.halted {
            if self.intake.epoch_of(partition) == Some(owner_epoch) {
                source.pause(&[partition]);
                self.intake.unclaimed(partition);
                self.halted(partition, &reason, now);
            }
        }
        let fenced: Vec<_> = board
            .fenced
            .into_iter()
            .filter(|(at, epoch)| self.intake.epoch_of(*at) == Some(*epoch))
            .collect();
        if fenced.is_empty() {
            return Ok(());
        }
        self.fenced_at.retain(|at| now.duration_since(*at) < FENCE_WINDOW);
        self.fenced_at.push_back(now);
        if self.fenced_at.len() >= FENCE_STORM {
            return Err(Fatal::FenceStorm);
        }
        let doublings = u32::try_from(self.fenced_at.len() - 1).unwrap_or(u32::MAX);
        let at = now + FIRST_FENCE_WAIT * 2_u32.saturating_pow(doublings);
        for (partition, _) in fenced {
            let (topic, number) = (partition.topic, partition.partition);
            info!(%topic, partition = number, "fenced while assigned; claiming again");
            source.pause(&[partition]);
            self.intake.unclaimed(partition);
            self.due.insert(partition, Due::first(at));
        }
        Ok(())
    }

    pub(super) fn halted(&mut self, partition: TopicPartition, reason: &HaltReason, now: Instant) {
        let (topic, number) = (partition.topic, partition.partition);
        if reason.kind.heals_by_itself() {
            warn!(%topic, partition = number, %reason, "partition set aside; will be claimed again in 15 s");
        } else {
            error!(%topic, partition = number, %reason, "partition halted until it is resumed");
        }
        self.links.shared.seen.halted(partition, Some(reason));
        self.due
            .insert(partition, Due { is_halted: true, is_doubted: true, ..Due::first(now + HALTED_PROBE) });
    }

    /// As [`Self::halted`], but it is not stored yet.
    pub(super) fn halted_by_us(
        &mut self,
        partition: TopicPartition,
        owner_epoch: i64,
        reason: HaltReason,
        now: Instant,
    ) {
        self.halted(partition, &reason, now);
        let halt = Command::Halt { partition, owner_epoch, reason };
        if self.links.commands.try_send(halt).is_err() {
            warn!("the worker is too busy to store the halt; it will be detected again");
        }
    }
}

#[cfg(test)]
mod tests;
