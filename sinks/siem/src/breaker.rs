//! Retry delays: waits that double, and a circuit breaker.
//!
//! Closed: after a failure 2, 4, 8, 16, 32 s (±20 %), or as long as the receiver asks if that is longer. The fifth failure in
//! a row opens it: nothing is sent for 30 s, then one probe. A probe that fails opens it for 60, 120, 240, 300 s.

use std::time::Duration;

/// The first wait; each further one is twice as long, up to [`LONGEST_STEP`].
const FIRST_STEP: Duration = Duration::from_secs(2);
const LONGEST_STEP: Duration = Duration::from_secs(32);
/// Initial and longest time for which the breaker stays open.
const FIRST_OPEN: Duration = Duration::from_secs(30);
const LONGEST_OPEN: Duration = Duration::from_mins(5);
/// Failures in a row that open it.
pub const THRESHOLD: u32 = 5;
/// A wait differs by so much from its step, at most.
const JITTER: f64 = 0.2;

/// Failures in a row, and what follows from them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
}

impl Breaker {
    /// A request failed: how long to wait before the next. `dice` lies in [0, 1).
    pub fn failed(&mut self, asked: Option<Duration>, dice: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let own = match self.failures.checked_sub(THRESHOLD) {
            None => {
                step(FIRST_STEP, self.failures - 1, LONGEST_STEP).mul_f64(1.0 - JITTER + 2.0 * JITTER * dice)
            }
            Some(probes) => step(FIRST_OPEN, probes, LONGEST_OPEN),
        };
        own.max(asked.unwrap_or_default())
    }

    /// The receiver answered as it should.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Whether so many requests have failed that only a probe is sent.
    pub fn is_open(&self) -> bool {
        self.failures >= THRESHOLD
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

fn step(first: Duration, doublings: u32, longest: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(doublings.min(31)).unwrap_or(u32::MAX)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_then_the_breaker_opens_and_a_probe_closes_it() {
        let mut breaker = Breaker::default();
        let waits: Vec<u64> = (0..12).map(|_| breaker.failed(None, 0.5).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 30, 60, 120, 240, 300, 300, 300, 300]);
        assert!(breaker.is_open());
        breaker.succeeded();
        assert!(!breaker.is_open());
        assert_eq!(breaker.failed(None, 0.0).as_millis(), 1_600);
        assert_eq!(breaker.failed(None, 0.999_999).as_millis(), 4_799);
    }

    #[test]
    fn the_receiver_can_only_make_a_wait_longer() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.failed(Some(Duration::from_secs(7)), 0.5).as_secs(), 7);
        assert_eq!(breaker.failed(Some(Duration::from_secs(1)), 0.5).as_secs(), 4);
    }
}
