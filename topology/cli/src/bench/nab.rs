//! The scoring of the Numenta Anomaly Benchmark, from its published description (Lavin and Ahmad 2015) and its scorer.

/// Weights of right and wrong detections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Profile {
    /// Its name.
    pub(super) name: &'static str,
    /// A window that is found.
    found: f64,
    /// A detection outside of every window.
    false_alarm: f64,
    /// A window that is not found.
    missed: f64,
}

/// The published profiles, the standard one first.
pub(super) const PROFILES: [Profile; 3] = [
    Profile { name: "standard", found: 1.0, false_alarm: 0.11, missed: 1.0 },
    Profile { name: "reward_low_fp_rate", found: 1.0, false_alarm: 0.22, missed: 1.0 },
    Profile { name: "reward_low_fn_rate", found: 1.0, false_alarm: 0.11, missed: 2.0 },
];

/// Values at the beginning of a series that are not judged: 15 %, at most 750.
pub(super) fn probation(length: usize) -> usize {
    (length * 15 / 100).min(750)
}

/// The score of a series: numbers of its detections, and its windows as numbers of their first and last value.
#[expect(clippy::cast_precision_loss, reason = "places in a series, far below 2^52")]
pub(super) fn raw(profile: Profile, length: usize, detections: &[usize], windows: &[(usize, usize)]) -> f64 {
    let judged: Vec<usize> = detections.iter().copied().filter(|at| *at >= probation(length)).collect();
    let most = sigmoid(-1.0);
    let of_windows: f64 = windows
        .iter()
        .map(|(first, last)| {
            let hit = judged.iter().find(|at| (first..=last).contains(at));
            hit.map_or(-profile.missed, |hit| {
                let width = (last - first + 1) as f64;
                // From -1 at the first value to 0 at the last.
                let place = -((last - hit + 1) as f64) / width;
                profile.found * sigmoid(place) / most
            })
        })
        .sum();
    let alarms = judged.iter().filter(|at| !windows.iter().any(|(first, last)| (first..=last).contains(at)));
    let of_alarms: f64 = alarms
        .map(|at| {
            let before = windows.iter().rev().find(|(_, last)| last < at);
            let weight = before.map_or(-1.0, |(first, last)| {
                let width = (last - first).max(1) as f64;
                let place = (at - last) as f64 / width;
                if place > 3.0 { -1.0 } else { sigmoid(place) }
            });
            profile.false_alarm * weight
        })
        .sum();
    of_windows + of_alarms
}

/// 100 for all windows found at their first value without a false alarm, 0 for a detector that is silent.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) fn normalised(profile: Profile, raw: f64, windows: usize) -> f64 {
    let (perfect, silent) = (profile.found * windows as f64, -profile.missed * windows as f64);
    100.0 * (raw - silent) / (perfect - silent)
}

fn sigmoid(place: f64) -> f64 {
    2.0 / (1.0 + (5.0 * place).exp()) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(detections: &[usize], expected: f64) {
        let windows = [(300, 399), (700, 799)];
        let found = normalised(PROFILES[0], raw(PROFILES[0], 1_000, detections, &windows), windows.len());
        assert!((found - expected).abs() < 0.01, "{detections:?}: {found}");
    }

    #[test]
    fn early_detections_count_most_and_false_alarms_cost() {
        check(&[], 0.0);
        check(&[300, 700], 100.0);
        check(&[300, 301, 302, 700], 100.0);
        check(&[300], 50.0);
        // In probation: not judged.
        check(&[10, 300, 700], 100.0);
        check(&[200, 300, 700], 97.25);
        check(&[399], 25.0 + 25.0 * sigmoid(-0.01) / sigmoid(-1.0));
    }
}
