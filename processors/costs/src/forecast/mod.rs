//! Forecasts of a seasonal series, with prediction intervals calibrated on past forecasts.
//!
//! Several simple models are tested on the past: seasonal naive, the mean of the last seasons, and a level or
//! a damped trend over the seasonal component of STL (Cleveland et al. 1990; the crate `stlrs`), in the
//! series' own units or, if every value is positive, in logarithms. Each forecasts known values from origins
//! in the past; the model with the smallest mean absolute error is used. The intervals are quantiles of its
//! errors at about the same distance, with the finite-sample correction of conformal prediction (Lei et al.
//! 2018). The same series gives the same forecast.

mod models;
#[cfg(test)]
mod tests;

use models::Model;

/// Minimum length of a series, in seasons.
const LEAST_SEASONS: usize = 2;
/// Maximum number of values used, the newest ones.
const MOST_VALUES: usize = 1_500;
/// Maximum number of origins in the past.
const MOST_ORIGINS: usize = 12;
/// Errors within this many steps of a distance, or within a tenth of it, count for that distance.
const AROUND: usize = 7;

/// A forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The model with the smallest error on the past.
    pub model: &'static str,
    /// Forecast values, in order.
    pub points: Vec<Point>,
    /// Mean absolute error of the model on the past, in the series' units.
    pub error: f64,
    /// Mean absolute error of the seasonal naive model.
    pub naive_error: f64,
}

/// One forecast value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Expected value.
    pub expected: f64,
    /// 80 % prediction interval.
    pub within_80: (f64, f64),
    /// 95 % prediction interval.
    pub within_95: (f64, f64),
}

/// Forecasts the next `horizon` values. `None` if the series is shorter than two seasons or contains a value
/// that is not finite.
pub fn forecast(series: &[f64], period: usize, horizon: usize) -> Option<Forecast> {
    let series = &series[series.len().saturating_sub(MOST_VALUES)..];
    let enough = period > 0 && series.len() > LEAST_SEASONS * period;
    if !enough || series.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let past = Past::of(series, period, horizon);
    let (model, errors) = past.best();
    let expected = model.forecast(series, period, horizon)?;
    let naive_error = mean_absolute(&past.errors_of(Model::SeasonalNaive));
    let mut widest = (0.0_f64, 0.0_f64);
    let points = (1..)
        .zip(expected)
        .map(|(distance, expected)| {
            // A value farther away is never more certain.
            widest.0 = widest.0.max(past.quantile(&errors, distance, 0.80));
            widest.1 = widest.1.max(past.quantile(&errors, distance, 0.95)).max(widest.0);
            Point {
                expected,
                within_80: (expected - widest.0, expected + widest.0),
                within_95: (expected - widest.1, expected + widest.1),
            }
        })
        .collect();
    Some(Forecast { model: model.name(), points, error: mean_absolute(&errors), naive_error })
}

/// Distance and size of a past forecast's error.
type Miss = (usize, f64);

/// Forecasts of known values.
struct Past<'s> {
    series: &'s [f64],
    period: usize,
    /// Maximum distance of the forecasts.
    distance: usize,
    /// Lengths of the series at the origins.
    origins: Vec<usize>,
}

impl<'s> Past<'s> {
    fn of(series: &'s [f64], period: usize, horizon: usize) -> Self {
        let length = series.len();
        let least = (LEAST_SEASONS * period + 1).min(length.saturating_sub(1)).max(length / 3);
        let distance = horizon.min((length / 4).max(1)).min(length - least).max(1);
        let newest = length - distance;
        let room = newest.saturating_sub(least);
        let step = (room / MOST_ORIGINS).max(1);
        let origins =
            (0..MOST_ORIGINS).map_while(|back| newest.checked_sub(back * step).filter(|at| *at >= least));
        Self { series, period, distance, origins: origins.collect() }
    }

    fn errors_of(&self, model: Model) -> Vec<Miss> {
        let mut errors = Vec::new();
        for origin in &self.origins {
            let Some(forecast) = model.forecast(&self.series[..*origin], self.period, self.distance) else {
                return Vec::new();
            };
            let known = &self.series[*origin..];
            errors.extend((1..).zip(forecast.iter().zip(known)).map(|(at, (told, is))| (at, is - told)));
        }
        errors
    }

    /// The model with the smallest error, with its errors.
    fn best(&self) -> (Model, Vec<Miss>) {
        Model::ALL
            .into_iter()
            .map(|model| (model, self.errors_of(model)))
            .filter(|(model, errors)| *model == Model::SeasonalNaive || !errors.is_empty())
            .min_by(|(_, a), (_, b)| mean_absolute(a).total_cmp(&mean_absolute(b)))
            .unwrap_or((Model::SeasonalNaive, Vec::new()))
    }

    /// The quantile of the absolute errors at a distance.
    fn quantile(&self, errors: &[Miss], distance: usize, part: f64) -> f64 {
        // Beyond what the past tells, errors are those of the farthest distance, and grow as a random walk's.
        let known = distance.min(self.distance);
        let around = AROUND.max(known / 10);
        let mut near: Vec<f64> = errors
            .iter()
            .filter(|(at, _)| at.abs_diff(known) <= around)
            .map(|(_, error)| error.abs())
            .collect();
        if near.is_empty() {
            return 0.0;
        }
        near.sort_unstable_by(f64::total_cmp);
        let rank = (part * count(near.len() + 1)).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to the number of errors"
        )]
        let place = (rank as usize).clamp(1, near.len());
        near[place - 1] * (count(distance) / count(known)).sqrt()
    }
}

fn mean_absolute(errors: &[Miss]) -> f64 {
    if errors.is_empty() {
        return f64::INFINITY;
    }
    errors.iter().map(|(_, error)| error.abs()).sum::<f64>() / count(errors.len())
}

/// A number of values as a float; far fewer than 2^32.
fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::from(u32::MAX), f64::from)
}
