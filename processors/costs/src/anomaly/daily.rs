//! Anomalies of daily cost, per series: expected range, actual, impact, severity.
//!
//! Each day is compared with at most eight weeks before it. With four weeks of history and a clear weekly
//! pattern only the same weekdays count, otherwise all days. The expected cost is their median, the spread
//! their median absolute deviation, which single anomalies do not move. With less history a day with the cost
//! of the same day of the last week is not an anomaly either. Three anomalous days on one side are a new
//! level: the history is shifted to it.

use chrono::{Datelike, NaiveDate};

/// Minimum number of days of history before an anomaly.
pub const LEAST_HISTORY_DAYS: usize = 10;
const HISTORY_DAYS: usize = 56;
const SEASONAL_FROM_DAYS: usize = 28;
/// Minimum impact, in units of the currency.
pub const LEAST_IMPACT: f64 = 1.0;
/// Width of the expected range on each side, in spreads.
const SPREADS: f64 = 3.5;
/// Factor that makes the median absolute deviation comparable to a standard deviation, for normally
/// distributed values.
const MAD_TO_SD: f64 = 1.4826;
/// Minimum spread, relative to the expected cost.
const LEAST_SPREAD: f64 = 0.02;
/// Number of anomalous days on one side that make a new level.
const NEW_LEVEL_DAYS: usize = 3;
const MEDIUM_FROM: f64 = 0.2;
const HIGH_FROM: f64 = 0.5;

/// Severity of an anomaly, by its impact relative to the expected cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Less than 20 %.
    Low,
    /// 20 % and more.
    Medium,
    /// 50 % and more.
    High,
}

impl Severity {
    /// The severity's name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    fn of(impact: f64, expected: f64) -> Self {
        let relative = impact.abs() / expected.abs().max(f64::MIN_POSITIVE);
        match relative {
            _ if relative >= HIGH_FROM => Self::High,
            _ if relative >= MEDIUM_FROM => Self::Medium,
            _ => Self::Low,
        }
    }
}

/// A day whose cost is outside its expected range. Amounts are in the series' currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DailyAnomaly {
    /// The day.
    pub day: NaiveDate,
    /// Expected cost.
    pub expected: f64,
    /// Lower end of the expected range.
    pub low: f64,
    /// Upper end of the expected range.
    pub high: f64,
    /// Actual cost.
    pub actual: f64,
    /// Actual minus expected cost.
    pub impact: f64,
    /// Severity of the anomaly.
    pub severity: Severity,
}

/// The anomalies of a series of days in ascending order. Missing days between the first and the last count as
/// 0.
pub fn anomalies(series: &[(NaiveDate, f64)]) -> Vec<DailyAnomaly> {
    let mut found = Vec::new();
    let mut course = Course::default();
    let mut next = series.first().map(|(day, _)| *day);
    for (day, cost) in series.iter().filter(|(_, cost)| cost.is_finite()) {
        while let Some(missing) = next.filter(|missing| missing < day) {
            found.extend(course.take(missing, 0.0));
            next = missing.succ_opt();
        }
        found.extend(course.take(*day, *cost));
        next = day.succ_opt();
    }
    found
}

/// History of a series, as it counts for the next day.
#[derive(Debug, Default)]
struct Course {
    history: Vec<(NaiveDate, f64)>,
    /// Impacts of the latest consecutive anomalous days, all on one side.
    outside: Vec<f64>,
}

impl Course {
    fn take(&mut self, day: NaiveDate, actual: f64) -> Option<DailyAnomaly> {
        let enough = self.history.len() >= LEAST_HISTORY_DAYS;
        let anomaly = enough.then(|| self.judge(day, actual)).flatten();
        self.push(day, actual);
        match &anomaly {
            None => self.outside.clear(),
            Some(anomaly) => self.watch_level(anomaly.impact),
        }
        anomaly
    }

    fn judge(&self, day: NaiveDate, actual: f64) -> Option<DailyAnomaly> {
        let (expected, spread) = expected(&self.history, day, actual);
        let (low, high) = (expected - SPREADS * spread, expected + SPREADS * spread);
        let impact = actual - expected;
        let outside = !(low..=high).contains(&actual) && impact.abs() >= LEAST_IMPACT;
        let severity = Severity::of(impact, expected);
        outside.then_some(DailyAnomaly { day, expected, low, high, actual, impact, severity })
    }

    /// Shifts the history to a new level after several anomalous days on one side; the weekly pattern stays.
    fn watch_level(&mut self, impact: f64) {
        if self.outside.first().is_some_and(|first| first.signum() != impact.signum()) {
            self.outside.clear();
        }
        self.outside.push(impact);
        if self.outside.len() >= NEW_LEVEL_DAYS {
            let shift = median(self.outside.drain(..).collect());
            let before = self.history.len().saturating_sub(NEW_LEVEL_DAYS);
            self.history.iter_mut().take(before).for_each(|(_, cost)| *cost += shift);
        }
    }

    fn push(&mut self, day: NaiveDate, cost: f64) {
        if self.history.len() >= HISTORY_DAYS {
            self.history.remove(0);
        }
        self.history.push((day, cost));
    }
}

/// The expected cost of a day, and the spread around it.
fn expected(history: &[(NaiveDate, f64)], day: NaiveDate, actual: f64) -> (f64, f64) {
    let all: Vec<f64> = history.iter().map(|(_, cost)| *cost).collect();
    let overall = centre(all);
    if history.len() < SEASONAL_FROM_DAYS {
        let last_week = history.len().checked_sub(7).map_or(overall.0, |at| history[at].1);
        let nearer = (actual - last_week).abs() < (actual - overall.0).abs();
        let spread = overall.1.max(LEAST_SPREAD * last_week.abs());
        return if nearer { (last_week, spread) } else { overall };
    }
    // The spread around each weekday's own median, over all weekdays: four values alone tell too little.
    let of_weekday = |number: u32| -> Vec<f64> {
        let same = history.iter().filter(|(day, _)| day.weekday().num_days_from_monday() == number);
        same.map(|(_, cost)| *cost).collect()
    };
    let residuals: Vec<f64> = (0..7)
        .flat_map(|number| {
            let costs = of_weekday(number);
            let middle = median(costs.clone());
            costs.into_iter().map(move |cost| cost - middle)
        })
        .collect();
    // A weekly course is clear if it halves the mean deviation; the median does not see two days of seven.
    let around: Vec<f64> = history.iter().map(|(_, cost)| cost - overall.0).collect();
    if mean_deviation(&residuals) * 2.0 > mean_deviation(&around) {
        return overall;
    }
    let (_, spread) = centre(residuals);
    let middle = median(of_weekday(day.weekday().num_days_from_monday()));
    (middle, spread.max(LEAST_SPREAD * middle.abs()))
}

/// Median and spread.
fn centre(values: Vec<f64>) -> (f64, f64) {
    let middle = median(values.clone());
    let deviations = values.into_iter().map(|value| (value - middle).abs()).collect();
    (middle, (MAD_TO_SD * median(deviations)).max(LEAST_SPREAD * middle.abs()))
}

fn mean_deviation(values: &[f64]) -> f64 {
    let count = u32::try_from(values.len().max(1)).map_or(1.0, f64::from);
    values.iter().map(|value| value.abs()).sum::<f64>() / count
}

fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[half - 1], values[half]) } else { values[half] }
}
