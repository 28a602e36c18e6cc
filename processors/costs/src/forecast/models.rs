//! Simple models of a seasonal series.

use stlrs::Stl;

use super::count;

/// Number of seasons in the mean.
const MEAN_OF_SEASONS: usize = 6;
/// Factor by which a trend is damped in each step.
const DAMPING: f64 = 0.98;
/// Candidate weights of the newest value for a level, and of the newest slope for a trend.
const LEVEL_WEIGHTS: [f64; 5] = [0.02, 0.05, 0.1, 0.25, 0.6];
const SLOPE_WEIGHTS: [f64; 3] = [0.005, 0.02, 0.1];

/// A model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    SeasonalNaive,
    SeasonalMean,
    Level { logarithms: bool },
    DampedTrend { logarithms: bool },
}

impl Model {
    pub(super) const ALL: [Self; 6] = [
        Self::SeasonalNaive,
        Self::SeasonalMean,
        Self::Level { logarithms: false },
        Self::Level { logarithms: true },
        Self::DampedTrend { logarithms: false },
        Self::DampedTrend { logarithms: true },
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SeasonalNaive => "seasonal_naive",
            Self::SeasonalMean => "seasonal_mean",
            Self::Level { logarithms: false } => "stl_level",
            Self::Level { logarithms: true } => "stl_level_log",
            Self::DampedTrend { logarithms: false } => "stl_damped_trend",
            Self::DampedTrend { logarithms: true } => "stl_damped_trend_log",
        }
    }

    /// Forecasts the next values; `None` if the model does not fit the series.
    pub(super) fn forecast(self, series: &[f64], period: usize, horizon: usize) -> Option<Vec<f64>> {
        match self {
            Self::SeasonalNaive => Some(seasonal(series, period, horizon, 1)),
            Self::SeasonalMean => Some(seasonal(series, period, horizon, MEAN_OF_SEASONS)),
            Self::Level { logarithms } | Self::DampedTrend { logarithms } => {
                let damped = matches!(self, Self::DampedTrend { .. });
                if !logarithms {
                    return decomposed(series, period, horizon, damped);
                }
                if series.iter().any(|value| *value <= 0.0) {
                    return None;
                }
                let logs: Vec<f64> = series.iter().map(|value| value.ln()).collect();
                let forecast = decomposed(&logs, period, horizon, damped)?;
                // A course that leaves what was ever seen by far is none.
                let most = series.iter().copied().fold(0.0, f64::max) * 10.0;
                let values: Vec<f64> = forecast.into_iter().map(f64::exp).collect();
                values.iter().all(|value| value.is_finite() && *value <= most).then_some(values)
            }
        }
    }
}

/// The mean of the last seasons at each position of the season.
fn seasonal(series: &[f64], period: usize, horizon: usize, seasons: usize) -> Vec<f64> {
    let length = series.len();
    let at = |place: usize| {
        let same = (1..=seasons).map_while(|back| (length + place % period).checked_sub(back * period));
        let values: Vec<f64> = same.filter_map(|at| series.get(at).copied()).collect();
        values.iter().sum::<f64>() / count(values.len().max(1))
    };
    (0..horizon).map(at).collect()
}

/// A level, or a damped trend, over the seasonal component of STL.
fn decomposed(series: &[f64], period: usize, horizon: usize, damped: bool) -> Option<Vec<f64>> {
    if period < 2 {
        return Some(smoothed(series, horizon, damped));
    }
    let fit = Stl::params().robust(true).fit(series, period).ok()?;
    let rest: Vec<f64> = series.iter().zip(fit.seasonal()).map(|(value, season)| value - season).collect();
    let season = seasonal(fit.seasonal(), period, horizon, 2);
    let level = smoothed(&rest, horizon, damped);
    Some(level.into_iter().zip(season).map(|(level, season)| level + season).collect())
}

/// Exponential smoothing (Gardner 1985) with the weights of the smallest one-step error.
fn smoothed(series: &[f64], horizon: usize, damped: bool) -> Vec<f64> {
    let slopes: &[f64] = if damped { &SLOPE_WEIGHTS } else { &[0.0] };
    let best = LEVEL_WEIGHTS
        .into_iter()
        .flat_map(|level| slopes.iter().map(move |slope| smooth(series, level, *slope)))
        .min_by(|a, b| a.error.total_cmp(&b.error));
    let Some(Smoothed { mut level, mut slope, .. }) = best else { return vec![0.0; horizon] };
    (0..horizon)
        .map(|_| {
            slope *= DAMPING;
            level += slope;
            level
        })
        .collect()
}

struct Smoothed {
    level: f64,
    slope: f64,
    error: f64,
}

fn smooth(series: &[f64], level_weight: f64, slope_weight: f64) -> Smoothed {
    let first = series.len().min(14);
    let mut level = series[..first].iter().sum::<f64>() / count(first.max(1));
    let (mut slope, mut error) = (0.0, 0.0);
    for value in series {
        let expected = level + slope * DAMPING;
        let miss = value - expected;
        error += miss.abs();
        let before = level;
        level = expected + level_weight * miss;
        slope = slope_weight * (level - before) + (1.0 - slope_weight) * slope * DAMPING;
        if slope_weight == 0.0 {
            slope = 0.0;
        }
    }
    Smoothed { level, slope, error }
}
