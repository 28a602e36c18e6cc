//! When parking has to stop: poison in such an amount is a fault of ours, not of the records.

use std::collections::VecDeque;

/// Records of one partition that the share is counted over, since the claim.
const WINDOW: usize = 1_000;
/// Parked records allowed among them (5 %), once the window is full.
const MAX_IN_WINDOW: usize = WINDOW / 20;
/// Parked records allowed in a row.
const MAX_IN_A_ROW: usize = 100;

/// What became of the last records of a partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParkingLimit {
    parked: VecDeque<bool>,
    parked_in_window: usize,
    in_a_row: usize,
}

impl ParkingLimit {
    /// Whether one more record may be parked.
    pub(crate) fn allows_another(&self) -> bool {
        let oldest_leaves = self.parked.len() == WINDOW && self.parked[0];
        let full = self.parked.len() + 1 >= WINDOW;
        let share_kept = self.parked_in_window + 1 - usize::from(oldest_leaves) <= MAX_IN_WINDOW;
        self.in_a_row < MAX_IN_A_ROW && (!full || share_kept)
    }

    /// Counts a record that was settled.
    pub(crate) fn count(&mut self, parked: bool) {
        if self.parked.len() == WINDOW && self.parked.pop_front() == Some(true) {
            self.parked_in_window -= 1;
        }
        self.parked.push_back(parked);
        self.parked_in_window += usize::from(parked);
        self.in_a_row = if parked { self.in_a_row + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(outcomes: impl IntoIterator<Item = bool>) -> ParkingLimit {
        let mut limit = ParkingLimit::default();
        outcomes.into_iter().for_each(|parked| limit.count(parked));
        limit
    }

    #[test]
    fn a_hundred_in_a_row_are_the_limit() {
        assert!(after([true; 99]).allows_another());
        assert!(!after([true; 100]).allows_another());
        assert!(after([true; 100].into_iter().chain([false])).allows_another());
    }

    #[test]
    fn a_share_of_five_percent_counts_once_the_window_is_full() {
        let every_tenth = |n: usize| (0..n).map(|i| i % 10 == 0);
        assert!(after(every_tenth(900)).allows_another(), "not full yet");
        assert!(!after(every_tenth(1_000)).allows_another(), "100 of 1,000");
        let every_twentieth = |n: usize| (0..n).map(|i| i % 20 == 0);
        assert!(after(every_twentieth(5_000)).allows_another(), "the oldest parked one leaves the window");
        assert!(!after(every_twentieth(5_001)).allows_another(), "51 of 1,000");
    }

    #[test]
    fn counts_agree_with_the_window_whatever_comes() {
        use rand::{Rng, SeedableRng, rngs::StdRng};
        let mut random = StdRng::seed_from_u64(3);
        let mut limit = ParkingLimit::default();
        for _ in 0..5_000 {
            limit.count(random.random_bool(0.3));
            assert_eq!(limit.parked_in_window, limit.parked.iter().filter(|p| **p).count());
        }
    }
}
