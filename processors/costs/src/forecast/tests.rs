//! Forecasts compared with the seasonal naive model, and coverage of their intervals.

use super::*;

/// Pseudo-random numbers, the same in every run.
struct Noise(u64);

impl Noise {
    /// Nearly normal, with a standard deviation of 1.
    fn next(&mut self) -> f64 {
        let uniform = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let bits = u32::try_from(*state >> 33).expect("31 bits");
            f64::from(bits) / f64::from(1_u32 << 30) - 1.0
        };
        (0..6).map(|_| uniform(&mut self.0)).sum::<f64>() / 2.0_f64.sqrt()
    }
}

/// A year and a quarter of days: a level, weekends, a trend over the year, noise.
fn course(noise: &mut Noise, level: f64, (weekend, trend, spread): (f64, f64, f64)) -> Vec<f64> {
    (0..455_u32)
        .map(|day| {
            let of_week = if day % 7 >= 5 { weekend } else { 1.0 };
            level * of_week * (1.0 + trend * f64::from(day) / 365.0) * (1.0 + spread * noise.next())
        })
        .collect()
}

#[test]
fn seasonal_courses_are_forecast_better_than_by_their_last_season_with_honest_intervals() {
    let mut noise = Noise(42);
    let (mut better, mut held_80, mut held_95, mut all) = (0, 0, 0, 0);
    for number in 0..40_u32 {
        let weekend = [0.4, 0.6, 0.8, 1.0][number as usize % 4];
        let trend = [0.0, 0.1, 0.3, -0.1, 0.5][number as usize % 5];
        let spread = [0.03, 0.06, 0.12][number as usize % 3];
        let course = course(&mut noise, 50.0 + 20.0 * f64::from(number % 13), (weekend, trend, spread));
        let (known, to_come) = course.split_at(365);
        let found = forecast(known, 7, 90).expect("a forecast");
        assert_eq!(found.points.len(), 90);
        let error: f64 = to_come.iter().zip(&found.points).map(|(is, told)| (is - told.expected).abs()).sum();
        let naive: f64 =
            (0..).zip(to_come).map(|(day, is): (usize, _)| (is - known[358 + day % 7]).abs()).sum();
        better += i32::from(error < naive);
        for (is, told) in to_come.iter().zip(&found.points) {
            let within = |(low, high): (f64, f64)| i32::from(low <= *is && *is <= high);
            held_80 += within(told.within_80);
            held_95 += within(told.within_95);
            all += 1;
        }
    }
    assert!(better >= 32, "{better} of 40 are better than the last season again");
    assert!((750..=870).contains(&(held_80 * 1_000 / all)), "{held_80} of {all} within 80 %");
    assert!(held_95 * 1_000 / all >= 900, "{held_95} of {all} within 95 %");
}

#[test]
fn intervals_widen_and_steady_series_are_certain() {
    let mut noise = Noise(7);
    let found = forecast(&course(&mut noise, 100.0, (0.6, 0.2, 0.05)), 7, 90).expect("a forecast");
    for pair in found.points.windows(2) {
        let width = |point: &Point| point.within_80.1 - point.within_80.0;
        assert!(width(&pair[1]) >= width(&pair[0]) - 1e-9);
        assert!(pair[0].within_95.0 <= pair[0].within_80.0 && pair[0].within_80.1 <= pair[0].within_95.1);
    }
    let steady: Vec<f64> = (0..60).map(|day| if day % 7 >= 5 { 2.0 } else { 5.0 }).collect();
    let found = forecast(&steady, 7, 14).expect("a forecast");
    assert!(found.error < 1e-6, "{found:?}");
    assert!((found.points[0].expected - 5.0).abs() < 1e-6);
}

#[test]
fn short_and_odd_series_have_no_forecast_or_a_finite_one() {
    assert_eq!(forecast(&[1.0; 14], 7, 90), None);
    assert_eq!(forecast(&[f64::NAN; 60], 7, 90), None);
    assert_eq!(forecast(&[], 7, 90), None);
    assert_eq!(forecast(&[1.0; 60], 0, 90), None);
    for series in [vec![0.0; 60], vec![-5.0; 60], vec![1e300; 60], (0..15).map(f64::from).collect()] {
        let found = forecast(&series, 7, 90).expect("a forecast");
        assert!(found.points.iter().all(|point| point.expected.is_finite()), "{series:?}");
    }
}
