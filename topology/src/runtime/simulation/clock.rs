//! A clock that jumps to the next moment at which a task wants to wake.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use crate::runtime::clock::Clock;

/// One clock for everybody in a world.
#[derive(Debug, Clone)]
pub(in crate::runtime) struct Simulated {
    began: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    elapsed: Duration,
    /// In order of waking; the number keeps those of one moment in the order in which they went to sleep.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    numbered: u64,
}

impl Default for Simulated {
    fn default() -> Self {
        Self { began: Instant::now(), state: Arc::default() }
    }
}

impl Simulated {
    /// Wakes the task with the shortest sleep. False: no task sleeps.
    pub(in crate::runtime) fn advance(&self) -> bool {
        let mut state = self.state();
        while let Some(((at, _), sleeper)) = state.sleepers.pop_first() {
            if sleeper.is_closed() {
                continue;
            }
            state.elapsed = at;
            return sleeper.send(()).is_ok();
        }
        false
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("held briefly")
    }
}

impl Clock for Simulated {
    fn now(&self) -> Instant {
        self.began + self.state().elapsed
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        let (wake, woken) = oneshot::channel();
        let mut state = self.state();
        let key = (state.elapsed + duration, state.numbered);
        state.numbered += 1;
        state.sleepers.insert(key, wake);
        drop(state);
        woken.map(|_| ())
    }
}
