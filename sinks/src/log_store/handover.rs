//! In-memory queue, bounded in bytes, from the writer that commits log entries to the follower of its logs.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::LogEntry;

/// Bytes of records that wait for the follower; what does not fit is read back from the table.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most queued items, independent of size: one for each log and transaction.
const MAX_WAITING: usize = 1024;

/// Entries that one transaction appended to a log; queued once the transaction is committed.
#[derive(Debug)]
pub struct Appended {
    /// `<topic>/<partition>`.
    pub log: String,
    /// In the order of their indices, without a gap.
    pub entries: Vec<LogEntry>,
    /// The room that they take until they are dropped.
    _room: Arc<OwnedSemaphorePermit>,
}

/// The two ends between the writers of a process and the follower of their logs.
pub fn handover() -> (HandoverSender, HandoverReceiver) {
    let (to, from) = mpsc::channel(MAX_WAITING);
    let overflowed = Arc::new(AtomicBool::new(false));
    let sender =
        HandoverSender { to, room: Arc::new(Semaphore::new(MAX_BYTES)), overflowed: Arc::clone(&overflowed) };
    (sender, HandoverReceiver { from, overflowed })
}

/// The writers' end.
#[derive(Debug, Clone)]
pub struct HandoverSender {
    to: mpsc::Sender<Appended>,
    room: Arc<Semaphore>,
    overflowed: Arc<AtomicBool>,
}

impl HandoverSender {
    /// Whether records of so many bytes fit now.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.room.available_permits() >= bytes && self.to.capacity() > 0
    }

    /// Takes room for a record; `None` if there is none.
    pub(crate) fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }

    /// The follower gets a transaction's entries from the table.
    pub(crate) fn overflow(&self) {
        self.overflowed.store(true, Ordering::Relaxed);
    }

    /// Hands entries over. Nobody waits for a slow follower.
    pub(crate) fn send(&self, log: String, entries: Vec<LogEntry>, room: Arc<OwnedSemaphorePermit>) {
        if self.to.try_send(Appended { log, entries, _room: room }).is_err() {
            self.overflow();
        }
    }
}

/// The follower's end.
#[derive(Debug)]
pub struct HandoverReceiver {
    from: mpsc::Receiver<Appended>,
    overflowed: Arc<AtomicBool>,
}

impl HandoverReceiver {
    /// The next appended entries; `None` once no writer is left.
    pub async fn recv(&mut self) -> Option<Appended> {
        self.from.recv().await
    }

    /// The next appended entries, if any are queued.
    pub fn try_recv(&mut self) -> Option<Appended> {
        self.from.try_recv().ok()
    }

    /// Whether anything did not fit since this was last asked: writers are quicker than the follower.
    pub fn has_overflowed(&self) -> bool {
        self.overflowed.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use audit_log::{Hash, Salt, integrity::Personal};

    use super::*;

    fn entry(index: u64) -> LogEntry {
        let personal = Personal::Salted(Salt([0; 32]));
        LogEntry { index, leaf: Hash::default(), personal, record: Vec::new() }
    }

    #[test]
    fn waiting_entries_take_room_until_they_are_dropped() {
        let (sender, mut receiver) = handover();
        let room = sender.room(MAX_BYTES).map(Arc::new).expect("nothing waits yet");
        sender.send("weir.activity.v1/0".into(), vec![entry(0)], Arc::clone(&room));
        sender.send("weir.activity.v1/1".into(), vec![entry(7)], room);
        assert!(!sender.has_room(1) && sender.room(1).is_none());
        let first = receiver.try_recv().expect("was handed over");
        assert_eq!((first.log.as_str(), &first.entries), ("weir.activity.v1/0", &vec![entry(0)]));
        assert!(!sender.has_room(1), "the other log's entries came with the same transaction");
        drop((first, receiver.try_recv().expect("was handed over")));
        assert!(sender.has_room(MAX_BYTES));
    }

    #[test]
    fn an_overflow_is_told_once() {
        let (sender, receiver) = handover();
        assert!(!receiver.has_overflowed());
        sender.overflow();
        assert!(receiver.has_overflowed() && !receiver.has_overflowed());
    }
}
