//! Waits between attempts.

use std::time::Duration;

use rand::Rng;

/// A random wait below a ceiling that doubles with every attempt: random(0, min(longest, first · 2ⁿ)).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// For a sink that cannot take a batch now.
    pub(crate) const DELIVERY: Self = Self::new(Duration::from_millis(50), Duration::from_secs(5));
    /// For a claim that failed.
    pub(crate) const CLAIM: Self = Self::new(Duration::from_secs(1), Duration::from_secs(30));

    const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The ceiling of the wait after `attempt` failures (0 = the first).
    pub(crate) fn ceiling(self, attempt: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(attempt.min(31)).unwrap_or(u32::MAX)).min(self.longest)
    }

    /// The wait after `attempt` failures.
    pub(crate) fn wait(self, attempt: u32, random: &mut impl Rng) -> Duration {
        self.ceiling(attempt).mul_f64(random.random_range(0.0..1.0))
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_longest() {
        let ceilings: Vec<u128> =
            [0, 1, 2, 6, 7, 40, u32::MAX].map(|n| Backoff::DELIVERY.ceiling(n).as_millis()).into();
        assert_eq!(ceilings, [50, 100, 200, 3200, 5000, 5000, 5000]);
    }

    #[test]
    fn waits_lie_below_the_ceiling_and_differ() {
        let mut random = StdRng::seed_from_u64(1);
        let waits: Vec<_> = (0..50).map(|_| Backoff::DELIVERY.wait(3, &mut random)).collect();
        assert!(waits.iter().all(|wait| *wait <= Backoff::DELIVERY.ceiling(3)));
        assert!(waits.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
