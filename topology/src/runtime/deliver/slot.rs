//! Slot between poll thread and worker: one batch, bounded, always as large as what arrived while the last
//! transaction ran.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sinks::{Batch, TopicPartition};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::runtime::deliver::batching::{BatchLimits, Filling};

/// Most batches that wait to be freed; others are freed at once.
const MAX_SPENT: usize = 2;

/// The next batch, while the worker is busy with the one before.
#[derive(Debug)]
pub(crate) struct Slot<C> {
    next: Mutex<Filling<C>>,
    /// Finished batches, on their way back to the thread that allocated them: an allocator frees its own
    /// thread's memory faster.
    spent: Mutex<Vec<Batch<C>>>,
    limits: BatchLimits,
    filled: Notify,
    emptied: Notify,
    worker_waits: AtomicBool,
    /// Time of the next batch's first record, where batches linger.
    began: Mutex<Option<Instant>>,
    /// Whether the next batch waits for no more records.
    is_due: AtomicBool,
}

impl<C> Slot<C> {
    pub(crate) fn new(limits: BatchLimits) -> Self {
        Self {
            next: Mutex::default(),
            spent: Mutex::default(),
            limits,
            filled: Notify::new(),
            emptied: Notify::new(),
            worker_waits: AtomicBool::new(false),
            began: Mutex::default(),
            is_due: AtomicBool::new(false),
        }
    }

    /// Moves gathered records into the next batch, if it has room.
    pub(crate) fn offer(&self, gathered: &mut Filling<C>) -> bool {
        if gathered.is_empty() {
            return true;
        }
        let mut next = self.lock();
        if !next.has_room_for(gathered, &self.limits) {
            drop(next);
            if !self.limits.linger.is_zero() {
                self.is_due.store(true, Ordering::Relaxed);
                self.filled.notify_one();
            }
            return false;
        }
        next.append(std::mem::take(gathered));
        if next.is_worthwhile(&self.limits) {
            self.is_due.store(true, Ordering::Relaxed);
        }
        drop(next);
        if !self.limits.linger.is_zero() {
            self.began.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        }
        self.filled.notify_one();
        true
    }

    /// Resolves when a batch was taken out since the last call.
    pub(crate) async fn emptied(&self) {
        self.emptied.notified().await;
    }

    /// Whether the worker is idle.
    pub(crate) fn worker_waits(&self) -> bool {
        self.worker_waits.load(Ordering::Relaxed)
    }

    /// Waits for the next batch, and drops the partitions that `gone` names.
    ///
    /// Cancel safe: a batch leaves the slot only with the answer.
    pub(crate) async fn take(&self, gone: impl Fn(TopicPartition, i64) -> bool) -> Batch<C> {
        self.worker_waits.store(true, Ordering::Relaxed);
        loop {
            if let Some(left) = self.lingers_for() {
                // Either more came, or it has waited for long enough.
                drop(timeout(left, self.filled.notified()).await);
                continue;
            }
            let taken = std::mem::take(&mut *self.lock());
            self.is_due.store(false, Ordering::Relaxed);
            *self.began.lock().unwrap_or_else(PoisonError::into_inner) = None;
            if !taken.is_empty() {
                self.emptied.notify_one();
                let mut taken = taken;
                taken.forget(&gone);
                if !taken.is_empty() {
                    self.worker_waits.store(false, Ordering::Relaxed);
                    return taken.finish();
                }
            }
            self.filled.notified().await;
        }
    }

    /// Remaining time for which the next batch may wait for more records; `None` if it is due.
    fn lingers_for(&self) -> Option<Duration> {
        if self.limits.linger.is_zero() || self.is_due.load(Ordering::Relaxed) {
            return None;
        }
        let began = (*self.began.lock().unwrap_or_else(PoisonError::into_inner))?;
        let left = self.limits.linger.saturating_sub(began.elapsed());
        (!left.is_zero()).then_some(left)
    }

    /// Returns a finished batch to be freed.
    pub(crate) fn give_back(&self, batch: Batch<C>) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() < MAX_SPENT {
            spent.push(batch);
        }
    }

    /// Frees the returned batches.
    pub(crate) fn free_spent(&self) {
        let spent = std::mem::take(&mut *self.spent.lock().unwrap_or_else(PoisonError::into_inner));
        drop(spent);
    }

    fn lock(&self) -> MutexGuard<'_, Filling<C>> {
        // A panic while it was held leaves a batch that is either old or new, never half of one.
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sinks::{KeptBytes, RawRecord, RecordChanges, Settlement};

    use super::*;
    use crate::runtime::deliver::batching::Placed;

    fn gathered(offsets: std::ops::Range<i64>) -> Filling<()> {
        let mut filling = Filling::default();
        for offset in offsets {
            let record = RecordChanges {
                range: 0,
                offset,
                settlement: Settlement::Apply(Vec::new()),
                raw: RawRecord::default(),
                identity: None,
                kept: KeptBytes::All,
            };
            let partition = TopicPartition { topic: schemas::Topic::Audit, partition: 0 };
            filling.push(Placed { partition, owner_epoch: 1, cursor: offset, record });
        }
        filling
    }

    fn slot(linger: Duration) -> Slot<()> {
        Slot::new(BatchLimits { records: 10, worthwhile: 10, linger, ..BatchLimits::default() })
    }

    const FOR_EVER: Duration = Duration::from_hours(24);

    #[tokio::test]
    async fn a_full_batch_does_not_linger() {
        let slot = slot(FOR_EVER);
        assert!(slot.offer(&mut gathered(0..3)) && slot.lingers_for().is_some());
        assert!(slot.offer(&mut gathered(3..10)));
        assert_eq!(slot.take(|_, _| false).await.records.len(), 10);
        assert!(slot.offer(&mut gathered(10..19)) && slot.lingers_for().is_some());
        assert!(!slot.offer(&mut gathered(19..21)), "it does not fit in");
        assert_eq!(slot.take(|_, _| false).await.records.len(), 9);
    }

    #[tokio::test]
    async fn a_batch_that_is_worth_a_request_goes_at_once_and_takes_along_what_else_is_there() {
        let slot = Slot::new(BatchLimits {
            records: 30,
            worthwhile: 10,
            linger: FOR_EVER,
            ..BatchLimits::default()
        });
        assert!(slot.offer(&mut gathered(0..9)) && slot.lingers_for().is_some());
        assert!(slot.offer(&mut gathered(9..11)) && slot.lingers_for().is_none());
        assert!(slot.offer(&mut gathered(11..30)), "there is room until it is taken");
        assert_eq!(slot.take(|_, _| false).await.records.len(), 30);
    }

    #[tokio::test]
    async fn a_batch_that_nothing_more_comes_to_goes_when_its_time_is_up() {
        let slot = std::sync::Arc::new(slot(Duration::from_millis(20)));
        let waiting = tokio::spawn({
            let slot = std::sync::Arc::clone(&slot);
            async move { slot.take(|_, _| false).await.records.len() }
        });
        while !slot.worker_waits() {
            tokio::task::yield_now().await;
        }
        assert!(slot.offer(&mut gathered(0..1)));
        assert_eq!(waiting.await.expect("no panic"), 1);
        assert!(slot.lingers_for().is_none(), "nothing is there that could linger");
    }
}
