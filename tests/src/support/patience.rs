//! Patience of a test that waits: a busy machine is slow, and goes on.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// Ends once nothing has changed for a while.
pub(crate) struct Patience<T> {
    lasts: Duration,
    seen: Option<T>,
    since: Instant,
}

impl<T: PartialEq + Debug> Patience<T> {
    /// Lasts so long after each change.
    pub(crate) fn of(lasts: Duration) -> Self {
        Self { lasts, seen: None, since: Instant::now() }
    }

    /// Whether this is what was seen last, and has been for too long.
    pub(crate) fn is_over(&mut self, now: T) -> bool {
        if self.seen.as_ref() != Some(&now) {
            (self.seen, self.since) = (Some(now), Instant::now());
        }
        self.since.elapsed() > self.lasts
    }

    /// Fails the test if it is over.
    pub(crate) fn check(&mut self, now: T, what: impl Debug) {
        assert!(!self.is_over(now), "nothing has changed for {:?}: {:?} of {what:?}", self.lasts, self.seen);
    }
}
