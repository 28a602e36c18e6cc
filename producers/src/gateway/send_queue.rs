//! Parts of tenants in the producer's send queue: an event counts until its delivery settles, also when nobody
//! waits for it any more.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use edge::tenants::Tenants;
use schemas::TenantId;

/// The send queue, as far as tenants fill it.
#[derive(Debug)]
pub(super) struct SendQueue {
    /// Limits of each tenant: a quarter of the queue.
    records: usize,
    bytes: usize,
    parts: Mutex<HashMap<TenantId, Weak<Part>>>,
    tenants: Tenants,
}

/// Events of one tenant that are queued or sent and not settled.
#[derive(Debug, Default)]
pub(super) struct Part {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

impl SendQueue {
    pub(super) fn new(records: usize, bytes: usize, tenants: Tenants) -> Self {
        Self { records: records / 4, bytes: bytes / 4, parts: Mutex::default(), tenants }
    }

    /// The tenant's part, unless it is used up. A request is queued whole while anything is left of it.
    pub(super) fn part(&self, tenant: &TenantId) -> Option<Arc<Part>> {
        let part = self.part_of(tenant);
        let is_left =
            part.records.load(Relaxed) < self.records.max(1) && part.bytes.load(Relaxed) < self.bytes.max(1);
        if !is_left {
            self.tenants.refused(Some(tenant), "send_queue");
        }
        is_left.then_some(part)
    }

    fn part_of(&self, tenant: &TenantId) -> Arc<Part> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = parts.get(tenant).and_then(Weak::upgrade) {
            return part;
        }
        parts.retain(|_, part| part.strong_count() > 0);
        let part = Arc::default();
        parts.insert(tenant.clone(), Arc::downgrade(&part));
        part
    }
}

/// One event in the queue; its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Queued {
    part: Arc<Part>,
    bytes: usize,
}

impl Queued {
    pub(super) fn new(part: &Arc<Part>, bytes: usize) -> Self {
        part.records.fetch_add(1, Relaxed);
        part.bytes.fetch_add(bytes, Relaxed);
        Self { part: Arc::clone(part), bytes }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.part.records.fetch_sub(1, Relaxed);
        self.part.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_quarter_and_free_again_once_its_events_settle() {
        let queue = SendQueue::new(8, 1 << 20, Tenants::default());
        let [loud, quiet] = ["loud", "quiet"].map(|name| TenantId::new(name).expect("a tenant"));
        let part = queue.part(&loud).expect("nothing is queued");
        let queued: Vec<Queued> = (0..2).map(|_| Queued::new(&part, 300)).collect();
        drop(part);
        assert!(queue.part(&loud).is_none() && queue.part(&quiet).is_some());
        drop(queued);
        assert!(queue.part(&loud).is_some());

        let narrow = SendQueue::new(1_000, 4 * 300, Tenants::default());
        let part = narrow.part(&loud).expect("nothing is queued");
        let large = Queued::new(&part, 300);
        assert!(narrow.part(&loud).is_none(), "bytes count, too");
        drop((large, part));
        assert!(narrow.part(&loud).is_some());
        assert_eq!(narrow.parts.lock().expect("no test panics with it").len(), 1);
    }
}
