//! `weir bench forecast`: forecasts beside the last season again, on courses of a made-up year and on series of files.

use std::{fs, path::PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use costs::forecast::forecast;
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::{
    Outcome,
    output::{self, Format},
};

/// Days that are forecast of a made-up year, and days of a season.
const DAYS: usize = 90;
const WEEK: usize = 7;

/// Arguments of `weir bench forecast`.
#[derive(Debug, Args)]
pub(super) struct ForecastArgs {
    /// Files of `timestamp,value` lines every five minutes, whose last quarter is forecast by the hour with a season of a day:
    /// the series without anomalies of the Numenta Anomaly Benchmark, for example.
    files: Vec<PathBuf>,
    /// Number of generated series of one year.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    courses: u32,
    /// Seed of the generated series.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Forecast of one series, with its errors.
struct Scored {
    name: String,
    model: &'static str,
    error: f64,
    naive_error: f64,
    within_80: f64,
    within_95: f64,
}

/// Scores.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) fn bench_forecast(args: &ForecastArgs) -> anyhow::Result<Outcome> {
    let mut dice = StdRng::seed_from_u64(args.seed);
    let mut courses = Vec::new();
    for number in 0..args.courses {
        courses.extend(scored(format!("course {number}"), &course(&mut dice), WEEK, DAYS));
    }
    let mut files = Vec::new();
    for file in &args.files {
        let values = by_the_hour(file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match scored(name, &values, 24, values.len() / 4) {
            Some(score) => files.push(score),
            None => bail!("{} is too short to be forecast", file.display()),
        }
    }
    let better = courses.iter().filter(|one| one.error < one.naive_error).count();
    let mean = |of: fn(&Scored) -> f64| courses.iter().map(of).sum::<f64>() / courses.len().max(1) as f64;
    let (ratio, held_80, held_95) =
        (mean(|one| one.error / one.naive_error), mean(|one| one.within_80), mean(|one| one.within_95));
    if args.output != Format::Table {
        let one = |one: &Scored| {
            json!({"name": one.name, "model": one.model, "error": one.error, "naive_error": one.naive_error,
                   "within_80": one.within_80, "within_95": one.within_95})
        };
        output::json(&json!({
            "seed": args.seed, "courses": courses.len(), "better_than_naive": better, "error_to_naive": ratio,
            "within_80": held_80, "within_95": held_95, "files": files.iter().map(one).collect::<Vec<_>>(),
        }))?;
        return Ok(Outcome::Done);
    }
    output::line(&format!(
        "{better} of {} courses are forecast better than by the last week again; error {ratio:.2} of its; {:.1} % of values \
         within the 80 % interval, {:.1} % within the 95 %",
        courses.len(),
        held_80 * 100.0,
        held_95 * 100.0
    ));
    let mut table = output::table(&["series", "model", "error", "of naive", "in 80 %", "in 95 %"]);
    for one in &files {
        table.add_row([
            one.name.clone(),
            one.model.to_owned(),
            format!("{:.4}", one.error),
            format!("{:.4}", one.naive_error),
            format!("{:.1}", one.within_80 * 100.0),
            format!("{:.1}", one.within_95 * 100.0),
        ]);
    }
    output::print_table(&table, "no files were given");
    Ok(Outcome::Done)
}

/// A year and a quarter of daily cost: a level, weekends, growth or decline, noise, and sometimes a new level.
fn course(dice: &mut StdRng) -> Vec<f64> {
    let (level, weekend) = (dice.random_range(20.0..2_000.0), dice.random_range(0.3..0.95));
    let (growth, spread) = (dice.random_range(-0.3..0.8), dice.random_range(0.02..0.12));
    let shift = dice.random_bool(0.3).then(|| (dice.random_range(60..300_u32), dice.random_range(0.7..1.5)));
    (0..365 + u32::try_from(DAYS).unwrap_or_default())
        .map(|day| {
            let of_week = if day % 7 >= 5 { weekend } else { 1.0 };
            let moved = shift.map_or(1.0, |(from, by)| if day >= from { by } else { 1.0 });
            let noise: f64 = (0..12).map(|_| dice.random_range(-0.5..0.5)).sum();
            level * of_week * moved * (1.0 + growth * f64::from(day) / 365.0) * (1.0 + spread * noise)
        })
        .collect()
}

/// The means of an hour each.
fn by_the_hour(file: &PathBuf) -> anyhow::Result<Vec<f64>> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let value = |line: &str| line.split(',').nth(1).and_then(|text| text.trim().parse::<f64>().ok());
    let values: Vec<f64> = text
        .lines()
        .skip(1)
        .map(|line| value(line).with_context(|| format!("{}: {line:?} is not time,value", file.display())))
        .collect::<anyhow::Result<_>>()?;
    Ok(values.chunks_exact(12).map(|hour| hour.iter().sum::<f64>() / 12.0).collect())
}

/// Forecasts the last values of a series from those before, and scores the forecast; `None` if there are too
/// few.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn scored(name: String, values: &[f64], period: usize, horizon: usize) -> Option<Scored> {
    let (known, to_come) = values.split_at_checked(values.len().checked_sub(horizon)?)?;
    let found = forecast(known, period, horizon)?;
    let season = known.get(known.len().checked_sub(period)?..)?;
    let pairs = || to_come.iter().zip(&found.points);
    let mean = |sum: f64| sum / horizon.max(1) as f64;
    let part = |within: usize| within as f64 / horizon.max(1) as f64;
    Some(Scored {
        name,
        model: found.model,
        error: mean(pairs().map(|(is, told)| (is - told.expected).abs()).sum()),
        naive_error: mean(
            to_come.iter().zip(season.iter().cycle()).map(|(is, told)| (is - told).abs()).sum(),
        ),
        within_80: part(pairs().filter(|(is, at)| (at.within_80.0..=at.within_80.1).contains(is)).count()),
        within_95: part(pairs().filter(|(is, at)| (at.within_95.0..=at.within_95.1).contains(is)).count()),
    })
}
