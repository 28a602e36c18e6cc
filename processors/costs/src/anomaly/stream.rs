//! Anomalies of a measured series, one value at a time: a value, or the mean of the last twelve, that leaves
//! the range of the last two thousand by a fraction of that range.
//!
//! A few of the greatest and of the least values do not count for the range, so that one anomaly does not hide
//! the next. Values that come back more often than that do count: what repeats is not an anomaly.
//!
//! Bounded time per value and bounded memory. The same values give the same scores.

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
    /// Share of them that does not count for the range, at each end.
    pub extremes: f64,
    /// Distance from the range, as a fraction of it, at which a value has the score 1.
    pub value_outside: f64,
    /// Distance from the range of means, as a fraction of it, at which a mean has the score 1.
    pub mean_outside: f64,
    /// Number of values after an anomaly that belong to it.
    pub same_anomaly: usize,
}

impl Default for Sensitivity {
    fn default() -> Self {
        Self { history: 2_000, extremes: 0.002_5, value_outside: 0.2, mean_outside: 0.12, same_anomaly: 60 }
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
        let Sensitivity { history, extremes, value_outside, mean_outside, same_anomaly } = self.sensitivity;
        let by_value = self.values.outside(value, extremes) / value_outside;
        let by_mean = self.means.outside(mean, extremes) / mean_outside;
        let at = self.seen;
        self.seen += 1;
        self.values.push(value, history);
        self.means.push(mean, history);
        if at < WARM_UP || self.last.is_some_and(|last| at - last <= same_anomaly) {
            return 0.0;
        }
        let score = by_value.max(by_mean);
        if score >= 1.0 {
            self.last = Some(at);
        }
        score
    }
}

/// The last values, in the order of their arrival and in ascending order.
#[derive(Debug, Clone, Default)]
struct Range {
    arrived: VecDeque<f64>,
    ascending: Vec<f64>,
}

impl Range {
    /// The distance from the range as a fraction of it; 0 inside, and without history.
    fn outside(&self, value: f64, extremes: f64) -> f64 {
        let aside = share(self.ascending.len(), extremes);
        let greatest = self.ascending.len().checked_sub(aside + 1).and_then(|at| self.ascending.get(at));
        let (Some(least), Some(greatest)) = (self.ascending.get(aside), greatest) else { return 0.0 };
        // A flat series has a range of its own: a thousandth of its level.
        let middle = f64::midpoint(*greatest, *least).abs();
        let range = (greatest - least).max(middle / 1_000.0).max(1e-9);
        (value - greatest).max(least - value).max(0.0) / range
    }

    fn push(&mut self, value: f64, history: usize) {
        if self.arrived.len() >= history
            && let Some(oldest) = self.arrived.pop_front()
        {
            self.ascending.remove(self.place(oldest));
        }
        self.arrived.push_back(value);
        self.ascending.insert(self.place(value), value);
    }

    /// The place of the first value that is not smaller.
    fn place(&self, value: f64) -> usize {
        self.ascending.partition_point(|other| other.total_cmp(&value).is_lt())
    }
}

/// A share of a number of values, rounded down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts far below 2^52, and a share between 0 and a half"
)]
fn share(count: usize, share: f64) -> usize {
    (count as f64 * share.clamp(0.0, 0.49)) as usize
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
    fn one_spike_does_not_hide_the_next_and_what_repeats_is_normal() {
        let wave = |at: usize| f64::from(u32::try_from(at % 24).expect("small"));
        let spikes = |every: usize, from: usize| {
            move |at: usize| if at >= from && (at - from).is_multiple_of(every) { 60.0 } else { wave(at) }
        };
        // Twice in 2,000 values, and then every hundred: the range has learnt it after a few.
        check((0..2_000).map(spikes(700, 1_000)), &[1_000, 1_700]);
        let mut detector = Detector::default();
        let found: Vec<usize> =
            (0..4_000).filter(|at| detector.score(spikes(100, 1_000)(*at)) >= 1.0).collect();
        assert!(!found.is_empty() && found.iter().all(|at| *at < 1_800), "{found:?}");
    }

    #[test]
    fn values_that_are_no_numbers_count_for_nothing() {
        let wave = |at: u32| if at.is_multiple_of(7) { f64::NAN } else { f64::from(at % 5) };
        check((0..400).map(wave), &[]);
        check([f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN], &[]);
    }
}
