//! Turns at work that occupies a thread: a number for everybody together, three quarters of which one holder
//! may have.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::shares::Holder;

/// Turns, in total and by holder.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    /// Maximum number of turns of one holder.
    each: usize,
    by_holder: Mutex<HashMap<Holder, Arc<Semaphore>>>,
}

/// The right to occupy a thread; given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _of_holder: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(at_once: usize) -> Self {
        let all = Arc::new(Semaphore::new(at_once));
        Self { all, each: (at_once - at_once.div_ceil(4)).max(1), by_holder: Mutex::default() }
    }

    /// Waits for a turn of the holder's own, then for one of all, so that few of one holder wait in front of
    /// the others.
    pub(super) async fn take(&self, holder: &Holder) -> Turn {
        let never_closed = "the semaphore is never closed";
        let of_holder = self.of(holder).acquire_owned().await.expect(never_closed);
        let of_all = Arc::clone(&self.all).acquire_owned().await.expect(never_closed);
        Turn { _of_holder: of_holder, _of_all: of_all }
    }

    fn of(&self, holder: &Holder) -> Arc<Semaphore> {
        let mut by_holder = self.by_holder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_holder.get(holder) {
            return Arc::clone(own);
        }
        // Who has a turn, or waits for one, holds the semaphore as well.
        by_holder.retain(|_, own| Arc::strong_count(own) > 1);
        let own = Arc::new(Semaphore::new(self.each));
        by_holder.insert(holder.clone(), Arc::clone(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use schemas::TenantId;

    use super::*;

    fn tenant(name: &str) -> Holder {
        Holder::Tenant(TenantId::new(name).expect("a tenant"))
    }

    #[test]
    fn who_waits_for_turns_leaves_the_others_theirs() {
        let (turns, loud, quiet, late) = (Turns::new(4), tenant("loud"), tenant("quiet"), tenant("late"));
        let now = |holder| turns.take(holder).now_or_never();
        let held = [now(&loud), now(&loud), now(&loud)];
        assert!(held.iter().all(Option::is_some), "three quarters");
        let mut waiting: Vec<_> = (0..160).map(|_| Box::pin(turns.take(&loud))).collect();
        assert!(waiting.iter_mut().all(|one| one.now_or_never().is_none()), "its own are taken");
        let other = now(&quiet);
        assert!(other.is_some(), "at once, whoever else waits");
        let mut last = Box::pin(turns.take(&late));
        assert!((&mut last).now_or_never().is_none(), "no more than four together");
        drop(other);
        assert!((&mut last).now_or_never().is_some());
        drop(held);
        let served = waiting.iter_mut().filter_map(FutureExt::now_or_never).count();
        assert!(served > 0, "it goes on once its own are given back");
    }

    #[test]
    fn one_turn_is_everybodys_and_holders_without_any_are_forgotten() {
        let turns = Turns::new(1);
        for name in ["a", "b", "c"] {
            assert!(turns.take(&tenant(name)).now_or_never().is_some(), "{name}");
        }
        assert_eq!(turns.by_holder.lock().expect("unpoisoned").len(), 1);
    }
}
