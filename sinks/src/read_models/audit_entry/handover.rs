//! What is committed goes to whoever follows the log, through memory.

use tokio::sync::mpsc;

use super::append::log_name;
use crate::{
    batch::TopicPartition,
    log_store::{Appended, LogEntry},
};

/// The writer's end.
pub(super) struct Handover {
    to: mpsc::Sender<Appended>,
    /// Of the transaction in hand.
    pending: Vec<(TopicPartition, LogEntry)>,
}

impl Handover {
    pub(super) fn new(to: mpsc::Sender<Appended>) -> Self {
        Self { to, pending: Vec::new() }
    }

    /// A batch is written, or written again.
    pub(super) fn begin(&mut self) {
        self.pending.clear();
    }

    pub(super) fn keep(&mut self, partition: TopicPartition, entry: LogEntry) {
        self.pending.push((partition, entry));
    }

    /// The batch is committed. Nobody waits for a slow follower.
    pub(super) fn committed(&mut self) {
        let mut entries = std::mem::take(&mut self.pending);
        entries.sort_by_key(|(partition, entry)| (*partition, entry.index));
        let mut entries = entries.into_iter().peekable();
        while let Some((partition, first)) = entries.next() {
            let mut own = vec![first];
            while let Some((_, entry)) = entries.next_if(|(other, _)| *other == partition) {
                own.push(entry);
            }
            if self.to.try_send(Appended { log: log_name(partition), entries: own }).is_err() {
                // The follower is behind, or gone: the table has it all.
                return;
            }
        }
    }
}
