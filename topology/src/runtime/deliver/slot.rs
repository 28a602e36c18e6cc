//! Where the poll thread leaves records and the worker finds them: one batch, bounded, always as large as
//! what arrived while the last transaction ran.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use sinks::{Batch, TopicPartition};
use tokio::sync::Notify;

use crate::runtime::deliver::batching::{BatchLimits, Filling};

/// Batches that may wait to be freed; more are freed where they are.
const MAX_SPENT: usize = 2;

/// The next batch, while the worker is busy with the one before.
#[derive(Debug)]
pub(crate) struct Slot<C> {
    next: Mutex<Filling<C>>,
    /// Batches done with, on their way back to the thread that allocated them: an allocator frees its own
    /// memory faster than a stranger's.
    spent: Mutex<Vec<Batch<C>>>,
    limits: BatchLimits,
    filled: Notify,
    emptied: Notify,
    worker_waits: AtomicBool,
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
        }
    }

    /// Moves what was gathered into the next batch, if it has room; leaves it where it is otherwise.
    pub(crate) fn offer(&self, gathered: &mut Filling<C>) -> bool {
        if gathered.is_empty() {
            return true;
        }
        let mut next = self.lock();
        if !next.has_room_for(gathered, &self.limits) {
            return false;
        }
        next.append(std::mem::take(gathered));
        drop(next);
        self.filled.notify_one();
        true
    }

    /// Resolves when a batch was taken out since the last call.
    pub(crate) async fn emptied(&self) {
        self.emptied.notified().await;
    }

    /// Whether the worker would begin at once.
    pub(crate) fn worker_waits(&self) -> bool {
        self.worker_waits.load(Ordering::Relaxed)
    }

    /// The next batch, without what `gone` names; waits for one.
    ///
    /// Cancel safe: a batch leaves the slot only with the answer.
    pub(crate) async fn take(&self, gone: impl Fn(TopicPartition, i64) -> bool) -> Batch<C> {
        self.worker_waits.store(true, Ordering::Relaxed);
        loop {
            let taken = std::mem::take(&mut *self.lock());
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

    /// Gives a batch back that needs no more delivering.
    pub(crate) fn give_back(&self, batch: Batch<C>) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() < MAX_SPENT {
            spent.push(batch);
        }
    }

    /// Frees what was given back.
    pub(crate) fn free_spent(&self) {
        let spent = std::mem::take(&mut *self.spent.lock().unwrap_or_else(PoisonError::into_inner));
        drop(spent);
    }

    fn lock(&self) -> MutexGuard<'_, Filling<C>> {
        // A panic while it was held leaves a batch that is either old or new, never half of one.
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
