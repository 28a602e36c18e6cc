//! Whether the stages of this process are at work.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Readiness of the process's parts; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<State>);

#[derive(Debug, Default)]
struct State {
    expected: AtomicUsize,
    stopping: AtomicBool,
    members: Mutex<BTreeMap<(&'static str, usize), Arc<AtomicBool>>>,
}

impl Health {
    /// Whether every stage has joined its group and owns what was assigned to it (halted partitions count as
    /// owned: they are somebody's business, not a reason to restart).
    pub fn is_ready(&self) -> bool {
        let members = self.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = members.values().filter(|ready| ready.load(Ordering::Relaxed)).count();
        !self.0.stopping.load(Ordering::Relaxed)
            && ready > 0
            && ready >= self.0.expected.load(Ordering::Relaxed)
    }

    /// The stages that are not ready.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        let members = self.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = members.iter().filter(|(_, ready)| !ready.load(Ordering::Relaxed));
        waiting.map(|((stage, _), _)| *stage).collect()
    }

    pub(crate) fn expect(&self, members: usize) {
        self.0.expected.store(members, Ordering::Relaxed);
    }

    pub(crate) fn stopping(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Flag by which a member reports its readiness.
    pub(crate) fn member(&self, stage: &'static str, number: usize) -> Arc<AtomicBool> {
        let mut members = self.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(members.entry((stage, number)).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_everybody_and_not_stopping() {
        let health = Health::default();
        assert!(!health.is_ready());
        health.expect(2);
        health.member("audit", 0).store(true, Ordering::Relaxed);
        let second = health.member("audit", 1);
        assert!(!health.is_ready());
        assert_eq!(health.waiting_for(), ["audit"]);
        second.store(true, Ordering::Relaxed);
        assert!(health.is_ready());
        health.stopping();
        assert!(!health.is_ready());
    }
}
