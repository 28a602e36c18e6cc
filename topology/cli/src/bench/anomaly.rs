//! `weir bench anomaly`: the streaming detector over the Numenta Anomaly Benchmark, with its published scoring.
//!
//! The sensitivity for a series is the one of a grid that scores best on all *other* series: no series has a
//! say in how it is judged. The score of the shipped sensitivity is beside it; that one was chosen with these
//! series known.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use costs::anomaly::stream::{Detector, Sensitivity};
use serde_json::json;

use super::nab::{PROFILES, Profile, normalised, raw};
use crate::{
    Outcome,
    output::{self, Format},
};

/// Standard scores of published detectors on realAWSCloudwatch.
const PUBLISHED: [(&str, f64); 5] =
    [("windowedGaussian", 31.2), ("twitterADVec", 38.5), ("skyline", 49.3), ("knncad", 60.7), ("HTM", 73.4)];

/// Arguments of `weir bench anomaly`.
#[derive(Debug, Args)]
pub(super) struct AnomalyArgs {
    /// The unpacked benchmark: the folder with `data` and `labels`.
    folder: PathBuf,
    /// The group of series.
    #[arg(long, default_value = "realAWSCloudwatch")]
    group: String,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// A series, and the windows in which something is wrong as numbers of their first and last value.
struct Series {
    values: Vec<f64>,
    windows: Vec<(usize, usize)>,
}

/// Scores.
pub(super) fn anomaly(args: &AnomalyArgs) -> anyhow::Result<Outcome> {
    let series = read(args)?;
    let windows = series.iter().map(|one| one.windows.len()).sum();
    let grid = grid();
    let detections: Vec<Vec<Vec<usize>>> =
        grid.iter().map(|at| series.iter().map(|one| detections(*at, &one.values)).collect()).collect();
    let of = |profile: Profile, number: usize, found: &[usize]| {
        raw(profile, series[number].values.len(), found, &series[number].windows)
    };
    let mut told = Vec::new();
    for profile in PROFILES {
        let scores: Vec<Vec<f64>> = detections
            .iter()
            .map(|of_series| of_series.iter().enumerate().map(|(n, found)| of(profile, n, found)).collect())
            .collect();
        let held_out: f64 =
            (0..series.len()).map(|number| scores[best_without(&scores, number)][number]).sum();
        let shipped: f64 = series
            .iter()
            .enumerate()
            .map(|(number, one)| of(profile, number, &detections_of_default(&one.values)))
            .sum();
        told.push((
            profile.name,
            normalised(profile, held_out, windows),
            normalised(profile, shipped, windows),
        ));
    }
    if args.output != Format::Table {
        let profiles: Vec<_> = told
            .iter()
            .map(|(name, held_out, shipped)| json!({"profile": name, "held_out": held_out, "shipped": shipped}))
            .collect();
        let published: BTreeMap<&str, f64> = PUBLISHED.into();
        output::json(&json!({
            "group": args.group, "series": series.len(), "windows": windows, "scores": profiles, "published_standard": published,
        }))?;
        return Ok(Outcome::Done);
    }
    output::line(&format!("{} series, {windows} windows of {}", series.len(), args.group));
    let mut table = output::table(&["profile", "held out", "shipped"]);
    for (name, held_out, shipped) in told {
        table.add_row([name.to_owned(), format!("{held_out:.1}"), format!("{shipped:.1}")]);
    }
    output::print_table(&table, "no profiles");
    let published: Vec<String> = PUBLISHED.iter().map(|(name, score)| format!("{name} {score}")).collect();
    output::note(&format!("published, standard, realAWSCloudwatch: {}", published.join(", ")));
    Ok(Outcome::Done)
}

fn read(args: &AnomalyArgs) -> anyhow::Result<Vec<Series>> {
    let labels = args.folder.join("labels/combined_windows.json");
    let text = fs::read_to_string(&labels).with_context(|| format!("{} cannot be read", labels.display()))?;
    let labels: BTreeMap<String, Vec<[String; 2]>> =
        serde_json::from_str(&text).with_context(|| format!("{} holds no windows", labels.display()))?;
    let mut series = Vec::new();
    for (name, windows) in
        labels.iter().filter(|(name, _)| name.split('/').next() == Some(args.group.as_str()))
    {
        let file = args.folder.join("data").join(name);
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        series.push(parsed(&text, windows).with_context(|| format!("{} is no series", file.display()))?);
    }
    if series.is_empty() {
        bail!("there are no series of the group {} in {}", args.group, args.folder.display());
    }
    Ok(series)
}

fn parsed(text: &str, windows: &[[String; 2]]) -> anyhow::Result<Series> {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let (time, value) = line.split_once(',').context("a line is not time,value")?;
        times.push(time);
        values.push(value.trim().parse()?);
    }
    // `2014-04-10 00:04:00` compares as text; labels carry parts of a second.
    let seconds = |text: &str| text.chars().take(19).collect::<String>();
    let place = |[first, last]: &[String; 2]| {
        let (first, last) = (seconds(first), seconds(last));
        let begin = times.iter().position(|time| *time >= first.as_str());
        let end = times.iter().rposition(|time| *time <= last.as_str());
        begin.zip(end).context("a window lies outside of the series")
    };
    let windows = windows.iter().map(place).collect::<anyhow::Result<_>>()?;
    Ok(Series { values, windows })
}

/// Sensitivities that are tried, each twice as coarse as the one before.
fn grid() -> Vec<Sensitivity> {
    let mut grid = Vec::new();
    for history in [500, 1_000, 2_000] {
        for extremes in [0.0, 0.001_25, 0.002_5, 0.005] {
            for value_outside in [0.1, 0.2, 0.4, 0.8] {
                for mean_outside in [0.03, 0.06, 0.12, 0.25] {
                    grid.extend([60, 120, 240, 400].map(|same_anomaly| Sensitivity {
                        history,
                        extremes,
                        value_outside,
                        mean_outside,
                        same_anomaly,
                    }));
                }
            }
        }
    }
    grid
}

fn detections(sensitivity: Sensitivity, values: &[f64]) -> Vec<usize> {
    let mut detector = Detector::new(sensitivity);
    values
        .iter()
        .enumerate()
        .filter_map(|(at, value)| (detector.score(*value) >= 1.0).then_some(at))
        .collect()
}

fn detections_of_default(values: &[f64]) -> Vec<usize> {
    detections(Sensitivity::default(), values)
}

/// The number of the sensitivity that scores best on all series but one.
fn best_without(scores: &[Vec<f64>], left_out: usize) -> usize {
    let of_others = |of_series: &[f64]| -> f64 {
        of_series.iter().enumerate().filter(|(number, _)| *number != left_out).map(|(_, score)| score).sum()
    };
    (0..scores.len()).max_by(|a, b| of_others(&scores[*a]).total_cmp(&of_others(&scores[*b]))).unwrap_or(0)
}
