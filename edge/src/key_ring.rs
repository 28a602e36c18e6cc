//! The valid API keys of a service, and requests to read them again at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use schemas::access::KeyRing;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

/// Maximum time that a request waits for keys that are read for it.
const WAIT: Duration = Duration::from_secs(2);

/// The valid API keys, refreshed by the task that reads them from the database; `None` before the first read,
/// and when reading has failed for too long.
#[derive(Debug, Clone)]
pub struct KeyRingWatch {
    ring: watch::Receiver<Option<Arc<KeyRing>>>,
    demand: Option<Arc<KeyDemand>>,
}

impl From<watch::Receiver<Option<Arc<KeyRing>>>> for KeyRingWatch {
    /// Keys that are never read on demand.
    fn from(ring: watch::Receiver<Option<Arc<KeyRing>>>) -> Self {
        Self { ring, demand: None }
    }
}

impl KeyRingWatch {
    /// Keys that the task which `demand` wakes reads again on demand.
    pub fn on_demand(ring: watch::Receiver<Option<Arc<KeyRing>>>, demand: Arc<KeyDemand>) -> Self {
        Self { ring, demand: Some(demand) }
    }

    /// The keys as they were last read.
    pub fn current(&self) -> Option<Arc<KeyRing>> {
        self.ring.borrow().clone()
    }

    /// Whether keys are read on demand.
    pub(crate) fn is_on_demand(&self) -> bool {
        self.demand.is_some()
    }

    /// The keys as they are now: has them read, and waits for at most two seconds. `None` where they are
    /// not read in time.
    pub(crate) async fn newer(&self) -> Option<Arc<KeyRing>> {
        let demand = self.demand.as_ref()?;
        timeout(WAIT, demand.meet()).await.ok()?;
        self.current()
    }
}

/// Requests to read the keys now instead of at the next interval.
#[derive(Debug, Default)]
pub struct KeyDemand {
    asked: AtomicU64,
    wake: Notify,
    /// Requests that had been made when the latest reading began.
    met: watch::Sender<u64>,
}

impl KeyDemand {
    /// Waits until a request is made.
    pub async fn made(&self) {
        self.wake.notified().await;
    }

    /// Number of the requests so far. A reading that begins afterwards meets them.
    pub fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }

    /// So many requests are met: a reading that began after them is published.
    pub fn met(&self, asked: u64) {
        self.met.send_replace(asked);
    }

    async fn meet(&self) {
        let asked = self.asked.fetch_add(1, SeqCst) + 1;
        self.wake.notify_one();
        // The sender lives as long as `self`.
        drop(self.met.subscribe().wait_for(|met| *met >= asked).await);
    }
}

#[cfg(test)]
mod tests {
    use schemas::access::Pepper;

    use super::*;

    fn ring() -> Arc<KeyRing> {
        Arc::new(KeyRing::new(Pepper::new("pepper"), []))
    }

    #[tokio::test]
    async fn a_reading_that_began_before_the_request_does_not_meet_it() {
        let (sender, receiver) = watch::channel(Some(ring()));
        let demand = Arc::new(KeyDemand::default());
        let keys = KeyRingWatch::on_demand(receiver, Arc::clone(&demand));
        let before = demand.asked();
        let asking = tokio::spawn({
            let keys = keys.clone();
            async move { keys.newer().await }
        });
        demand.made().await;
        sender.send_replace(Some(ring()));
        demand.met(before);
        assert!(!asking.is_finished());
        let read = ring();
        let began = demand.asked();
        sender.send_replace(Some(Arc::clone(&read)));
        demand.met(began);
        let newer = asking.await.expect("no panic").expect("read in time");
        assert!(Arc::ptr_eq(&newer, &read));
    }

    #[tokio::test]
    async fn a_request_that_nobody_meets_ends() {
        let (_sender, receiver) = watch::channel(Some(ring()));
        let keys = KeyRingWatch::on_demand(receiver.clone(), Arc::default());
        assert!(keys.newer().await.is_none());
        assert!(KeyRingWatch::from(receiver).newer().await.is_none(), "nor one that nobody can meet");
    }
}
