//! Anomalies of a measured series, one value at a time: a value, or the mean of the last twelve, that leaves
//! the range of the last thousand values by a fraction of that range.
//!
//! Constant time per value and bounded memory. The same values give the same scores.

use std::collections::VecDeque;

/// Number of values before the first score.
const WARM_UP: usize = 100;
/// Number of values in the moving mean.
const MEAN_OF: usize = 12;

/// Sensitivity of a detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensitivity {
    /// Number of values that make up the range.
    pub history: usize,
    /// Distance from the range, as a fraction of it, at which a value has the score 1.
    pub value_outside: f64,
    /// Distance from the range of means, as a fraction of it, at which a mean has the score 1.
    pub mean_outside: f64,
    /// Number of values after an anomaly that belong to it.
    pub same_anomaly: usize,
}

impl Default for Sensitivity {
    fn default() -> Self {
        Self { history: 1_000, value_outside: 0.2, mean_outside: 0.06, same_anomaly: 120 }
    }
}

/// A streaming detector.
#[derive(Debug, Clone, Default)]
pub struct Detector {
    sensitivity: Sensitivity,
    values: Range,
    means: Range,
    recent: VecDeque<f64>,
    seen: usize,
    /// Index of the last value that began an anomaly.
    last: Option<usize>,
}

impl Detector {
    /// Creates a detector with that sensitivity.
    pub fn new(sensitivity: Sensitivity) -> Self {
        Self { sensitivity, ..Self::default() }
    }

    /// The score of the next value; 1 and above begins an anomaly. 0 while the detector warms up, for values
    /// that are not numbers, and during an anomaly that has begun.
    pub fn score(&mut self, value: f64) -> f64 {
        if !value.is_finite() {
            return 0.0;
        }
        self.recent.push_back(value);
        if self.recent.len() > MEAN_OF {
            self.recent.pop_front();
        }
        let count = u32::try_from(self.recent.len()).map_or(1.0, f64::from);
        let mean = self.recent.iter().sum::<f64>() / count;
        let by_value = self.values.outside(value) / self.sensitivity.value_outside;
        let by_mean = self.means.outside(mean) / self.sensitivity.mean_outside;
        let at = self.seen;
        self.seen += 1;
        self.values.push(at, value, self.sensitivity.history);
        self.means.push(at, mean, self.sensitivity.history);
        if at < WARM_UP || self.last.is_some_and(|last| at - last <= self.sensitivity.same_anomaly) {
            return 0.0;
        }
        let score = by_value.max(by_mean);
        if score >= 1.0 {
            self.last = Some(at);
        }
        score
    }
}

/// Minimum and maximum of the last values, as two monotonic queues.
#[derive(Debug, Clone, Default)]
struct Range {
    falling: VecDeque<(usize, f64)>,
    rising: VecDeque<(usize, f64)>,
}

impl Range {
    /// The distance from the range as a fraction of it; 0 inside, and without history.
    fn outside(&self, value: f64) -> f64 {
        let (Some((_, greatest)), Some((_, least))) = (self.falling.front(), self.rising.front()) else {
            return 0.0;
        };
        // A flat series has a range of its own: a thousandth of its level.
        let middle = f64::midpoint(*greatest, *least).abs();
        let range = (greatest - least).max(middle / 1_000.0).max(1e-9);
        (value - greatest).max(least - value).max(0.0) / range
    }

    fn push(&mut self, at: usize, value: f64, history: usize) {
        while self.falling.back().is_some_and(|(_, last)| *last <= value) {
            self.falling.pop_back();
        }
        while self.rising.back().is_some_and(|(_, last)| *last >= value) {
            self.rising.pop_back();
        }
        for queue in [&mut self.falling, &mut self.rising] {
            queue.push_back((at, value));
            if queue.front().is_some_and(|(first, _)| first + history <= at) {
                queue.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the indices of the values that begin an anomaly.
    fn check(values: impl IntoIterator<Item = f64>, expected: &[usize]) {
        let mut detector = Detector::default();
        let found: Vec<usize> = values
            .into_iter()
            .enumerate()
            .filter_map(|(at, value)| (detector.score(value) >= 1.0).then_some(at))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_spike_and_a_new_level_are_found_once() {
        let wave = |at: usize| f64::from(u32::try_from(at % 24).expect("small"));
        check((0..500).map(wave), &[]);
        check((0..500).map(|at| if at == 300 { 40.0 } else { wave(at) }), &[300]);
        check((0..600).map(|at| wave(at) + if at >= 300 { 60.0 } else { 0.0 }), &[300]);
        check(std::iter::repeat_n(5.0, 400), &[]);
    }

    #[test]
    fn values_that_are_no_numbers_count_for_nothing() {
        let wave = |at: u32| if at.is_multiple_of(7) { f64::NAN } else { f64::from(at % 5) };
        check((0..400).map(wave), &[]);
        check([f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN], &[]);
    }
}
