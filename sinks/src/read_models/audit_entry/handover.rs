//! Hands committed entries over to the follower of the log, through memory.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::append::log_name;
use crate::{
    batch::TopicPartition,
    log_store::{HandoverSender, LogEntry},
};

/// The writer's end.
pub(super) struct Handover {
    to: HandoverSender,
    /// Entries of the current transaction, unless they do not fit.
    pending: Option<Vec<(TopicPartition, LogEntry)>>,
    /// The room that they take.
    room: Option<OwnedSemaphorePermit>,
    /// Of all records of the current transaction.
    bytes: usize,
    /// Whether the current transaction appends entries: one of which nothing is new begins none.
    is_appending: bool,
}

impl Handover {
    pub(super) fn new(to: HandoverSender) -> Self {
        Self { to, pending: None, room: None, bytes: 0, is_appending: false }
    }

    /// A batch is written, or written again. One that is likely not to fit is not copied in vain.
    pub(super) fn begin(&mut self) {
        self.room = None;
        self.pending = self.to.has_room(self.bytes).then(Vec::new);
        self.bytes = 0;
        self.is_appending = true;
    }

    /// The transaction is rolled back: its entries are in no log.
    pub(super) fn undone(&mut self) {
        (self.pending, self.room, self.is_appending) = (None, None, false);
    }

    /// Keeps an entry if there is room for its record; answers it if not.
    pub(super) fn keep(&mut self, partition: TopicPartition, entry: LogEntry) -> Option<LogEntry> {
        let bytes = entry.record.len();
        self.bytes += bytes;
        let Some(pending) = &mut self.pending else { return Some(entry) };
        match (self.to.room(bytes), &mut self.room) {
            (None, _) => {
                self.pending = None;
                self.room = None;
                return Some(entry);
            }
            (Some(more), Some(room)) => room.merge(more),
            (Some(first), room) => *room = Some(first),
        }
        pending.push((partition, entry));
        None
    }

    /// The batch is committed.
    pub(super) fn committed(&mut self) {
        if !std::mem::take(&mut self.is_appending) {
            return;
        }
        let (Some(mut entries), room) = (self.pending.take(), self.room.take()) else {
            self.to.overflow();
            return;
        };
        let Some(room) = room.map(Arc::new) else { return };
        entries.sort_by_key(|(partition, entry)| (*partition, entry.index));
        let mut entries = entries.into_iter().peekable();
        while let Some((partition, first)) = entries.next() {
            let mut own = vec![first];
            while let Some((_, entry)) = entries.next_if(|(other, _)| *other == partition) {
                own.push(entry);
            }
            self.to.send(log_name(partition), own, Arc::clone(&room));
        }
    }
}
