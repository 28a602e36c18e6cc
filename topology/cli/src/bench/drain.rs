//! `weir bench drain`: how fast a backlog becomes audit rows.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail};
use producers::kafka::Purpose;
use serde::Serialize;
use sinks::raw_copy::{self, Rows, Shape};
use tokio::time::Instant;

use super::{
    DrainArgs, machine,
    stand::{Program, StageProcess, Stand},
};
use crate::{
    Outcome, generate,
    output::{self, Format, note},
};

/// Rows per transaction of the yardsticks: about what the stage's own batches hold on a backlog.
const ROWS_PER_BATCH: usize = 2_000;
/// The jsonb baseline is several times slower; a share of the rows gives the same rate.
const JSONB_SHARE: u64 = 5;
/// The database of the drain that is not measured.
const WARM_UP: &str = "drain_warm_up";
const LOOK_EVERY: Duration = Duration::from_millis(50);
const DRAINED_WITHIN: Duration = Duration::from_mins(30);

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) events: u64,
    pub(super) took: Duration,
    /// Ours and PostgreSQL's; the broker's is left out on every side.
    pub(super) cpu: Duration,
    pub(super) wal_bytes: u64,
    pub(super) rss_peak_bytes: Option<u64>,
}

#[expect(clippy::cast_precision_loss, reason = "rates of counts far below 2^52")]
impl Run {
    pub(super) fn events_per_s(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    /// So many events in that time.
    #[cfg(test)]
    pub(super) fn of_events(events: u64, took: Duration) -> Self {
        Self { events, took, cpu: Duration::ZERO, wal_bytes: 0, rss_peak_bytes: None }
    }

    /// Two steps of the same events as one, one after the other.
    pub(super) fn followed_by(&self, next: &Self) -> Self {
        Self {
            events: self.events,
            took: self.took + next.took,
            cpu: self.cpu + next.cpu,
            wal_bytes: self.wal_bytes + next.wal_bytes,
            rss_peak_bytes: self.rss_peak_bytes.max(next.rss_peak_bytes),
        }
    }

    fn cpu_us_per_event(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.events as f64
    }

    pub(super) fn wal_bytes_per_event(&self) -> f64 {
        self.wal_bytes as f64 / self.events as f64
    }
}

/// One side's figures: medians over the pairs, the highest memory.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) events_per_s: f64,
    pub(super) cpu_us_per_event: f64,
    pub(super) wal_bytes_per_event: f64,
    pub(super) rss_peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Ratio>,
}

/// Weir's events per second over the baseline's, pair by pair.
#[derive(Debug, Serialize)]
struct Ratio {
    median: f64,
    min: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    name: &'static str,
    ours: Figures,
    peers: BTreeMap<&'static str, Figures>,
    /// Stages that ran in Weir's process.
    stages: Vec<String>,
    pairs: u32,
    events: u64,
    load: String,
}

/// Fills the topics once, then measures Weir and the baselines in turn.
pub(super) async fn drain(args: &DrainArgs) -> anyhow::Result<Outcome> {
    let stand = Stand::start().await?;
    note(&format!("publishing {} events", args.events));
    let producer = stand.producer(Purpose::Bulk)?;
    generate::publish_cloudtrail(&producer, args.events).await?;
    drop(producer);

    let beside = args.beside.iter().map(String::as_str);
    let stages = std::iter::once("audit").chain(beside);
    // Every event lies in the topic of activities, which all of these stages read.
    let stages: Vec<(&str, u64)> = stages.map(|stage| (stage, args.events)).collect();
    let (mut ours, mut raw, mut raw_jsonb) = (Vec::new(), Vec::new(), Vec::new());
    let mut yardsticks = None;
    note("draining once without measuring: a Java broker that was just started compiles itself meanwhile");
    let database = stand.database(WARM_UP).await?;
    measure_ours(&stand, &stages, &database).await?;
    sinks::postgres::drop_database(&stand.endpoints.maintenance_url, WARM_UP).await?;
    for pair in 1..=args.pairs {
        let database = stand.database(&format!("drain_{pair}")).await?;
        raw_copy::checkpoint(&database).await?;
        ours.push(measure_ours(&stand, &stages, &database).await?);
        if yardsticks.is_none() {
            let share = args.events.div_ceil(JSONB_SHARE);
            yardsticks = Some((
                Rows::read(&database, Shape::Compressed, args.events, ROWS_PER_BATCH).await?,
                Rows::read(&database, Shape::Jsonb, share, ROWS_PER_BATCH).await?,
            ));
        }
        let (compressed, jsonb) = yardsticks.as_ref().context("the rows were just read")?;
        raw.push(measure_copy(&stand, &database, compressed).await?);
        raw_jsonb.push(measure_copy(&stand, &database, jsonb).await?);
        note(&format!(
            "pair {pair}: ours {:.0}/s, raw COPY {:.0}/s, raw COPY of jsonb {:.0}/s; load {}",
            ours[ours.len() - 1].events_per_s(),
            raw[raw.len() - 1].events_per_s(),
            raw_jsonb[raw_jsonb.len() - 1].events_per_s(),
            machine::load()
        ));
        sinks::postgres::drop_database(&stand.endpoints.maintenance_url, &format!("drain_{pair}")).await?;
    }
    let report = Report {
        name: "drain",
        peers: BTreeMap::from([
            ("raw_copy", figures(&raw, Some(&ours))),
            ("raw_copy_jsonb", figures(&raw_jsonb, Some(&ours))),
        ]),
        ours: figures(&ours, None),
        stages: stages.iter().map(|(stage, _)| (*stage).to_owned()).collect(),
        pairs: args.pairs,
        events: args.events,
        load: machine::load(),
    };
    print(&report, args.output)?;
    Ok(Outcome::Done)
}

/// As [`measure`], of stages that run as everybody runs them.
pub(super) async fn measure_ours(
    stand: &Stand,
    stages: &[(&str, u64)],
    database: &str,
) -> anyhow::Result<Run> {
    let names = stages.iter().map(|(stage, _)| *stage);
    measure(stand, stages, database, Program::stages(names)).await
}

/// From the first claim until every stage has settled as many events as its topics hold; the start-up is
/// left out.
pub(super) async fn measure(
    stand: &Stand,
    stages: &[(&str, u64)],
    database: &str,
    program: Program,
) -> anyhow::Result<Run> {
    let postmaster = stand.postmaster().await?;
    let pool = sinks::postgres::operator_pool(database, 1)?;
    let (wal, cpu) = (raw_copy::wal_bytes(database).await?, machine::cpu_with_children(postmaster)?);
    let stage = stand.process(program, database).await?;
    let own_cpu = machine::cpu_of(stage.pid())?;
    let deadline = Instant::now() + DRAINED_WITHIN;
    let mut first_claim = None;
    let took = loop {
        let positions = sinks::positions::read_all(&pool).await?;
        let claimed = positions.iter().map(|p| p.claimed_at).min();
        if first_claim.is_none() {
            first_claim = claimed;
        }
        let left = |(stage, events): &(&str, u64)| -> u64 {
            let of_stage = positions.iter().filter(|position| position.stage == *stage);
            let settled: i64 = of_stage.map(|p| p.applied + p.duplicate + p.ignored + p.parked).sum();
            events.saturating_sub(u64::try_from(settled).unwrap_or(0))
        };
        let left: u64 = stages.iter().map(left).sum();
        if left == 0 {
            let last = positions.iter().map(|p| p.updated_at).max();
            break last.zip(first_claim).context("a stage that settled has claimed")?;
        }
        if Instant::now() >= deadline {
            bail!("after {DRAINED_WITHIN:?} {left} events were not settled");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let events = stages.iter().map(|(_, events)| *events).max().context("a stage is measured")?;
    let run = Run {
        events,
        took: (took.0 - took.1).to_std().context("the database's clock went back")?,
        cpu: machine::cpu_of(stage.pid())?.saturating_sub(own_cpu)
            + machine::cpu_with_children(postmaster)?.saturating_sub(cpu),
        wal_bytes: raw_copy::wal_bytes(database).await?.saturating_sub(wal),
        rss_peak_bytes: Some(machine::peak_memory(stage.pid())?),
    };
    check(&pool, stage, stages.iter().map(|(_, events)| *events).sum()).await?;
    Ok(run)
}

/// A figure is worth nothing if the rows are not right.
async fn check(pool: &sinks::postgres::PgPool, stage: StageProcess, events: u64) -> anyhow::Result<()> {
    stage.stop().await?;
    let positions = sinks::positions::read_all(pool).await?;
    let settled: i64 = positions.iter().map(|p| p.applied + p.ignored).sum();
    if u64::try_from(settled) != Ok(events) {
        bail!("{settled} of {events} events were applied or ignored by rule: the run does not count");
    }
    pool.close().await;
    Ok(())
}

async fn measure_copy(stand: &Stand, database: &str, rows: &Rows) -> anyhow::Result<Run> {
    let postmaster = stand.postmaster().await?;
    let own = i32::try_from(std::process::id())?;
    let (own_cpu, cpu) = (machine::cpu_of(own)?, machine::cpu_with_children(postmaster)?);
    let wal = raw_copy::wal_bytes(database).await?;
    let took = rows.copy(database).await?;
    Ok(Run {
        events: rows.count,
        took,
        cpu: machine::cpu_of(own)?.saturating_sub(own_cpu)
            + machine::cpu_with_children(postmaster)?.saturating_sub(cpu),
        wal_bytes: raw_copy::wal_bytes(database).await?.saturating_sub(wal),
        rss_peak_bytes: None,
    })
}

pub(super) fn figures(runs: &[Run], ours: Option<&[Run]>) -> Figures {
    let median_of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    Figures {
        events_per_s: median_of(Run::events_per_s),
        cpu_us_per_event: median_of(Run::cpu_us_per_event),
        wal_bytes_per_event: median_of(Run::wal_bytes_per_event),
        rss_peak_bytes: runs.iter().filter_map(|run| run.rss_peak_bytes).max(),
        ratio: ours.map(|ours| {
            let pairs = ours.iter().zip(runs);
            let ratios: Vec<f64> = pairs.map(|(a, b)| a.events_per_s() / b.events_per_s()).collect();
            Ratio {
                min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
                max: ratios.iter().copied().fold(0.0, f64::max),
                median: median(ratios),
            }
        }),
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => 0.0,
        (odd, middle) if odd % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Figures {
    /// A row of a table.
    pub(super) fn cells(&self, name: &str) -> [String; 6] {
        let ratio = self.ratio.as_ref();
        [
            name.to_owned(),
            format!("{:.0}", self.events_per_s),
            format!("{:.1}", self.cpu_us_per_event),
            format!("{:.0}", self.wal_bytes_per_event),
            self.rss_peak_bytes.map(|bytes| (bytes / 1_000_000).to_string()).unwrap_or_default(),
            ratio
                .map(|ratio| format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.min, ratio.max))
                .unwrap_or_default(),
        ]
    }
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(report);
    }
    let mut table = output::table(&[
        "side",
        "events/s",
        "CPU µs/event",
        "WAL B/event",
        "peak RSS MB",
        "ours ÷ it (min–max)",
    ]);
    let sides = [("ours", &report.ours)].into_iter().chain(report.peers.iter().map(|(name, f)| (*name, f)));
    for (name, figures) in sides {
        table.add_row(figures.cells(name));
    }
    output::print_table(&table, "nothing was measured");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        let run = |millis| Run {
            events: 1_000,
            took: Duration::from_millis(millis),
            cpu: Duration::from_millis(10),
            wal_bytes: 700_000,
            rss_peak_bytes: Some(millis),
        };
        let figures = figures(&[run(1_000), run(4_000)], Some(&[run(2_000), run(2_000)]));
        let ratio = figures.ratio.expect("a yardstick");
        assert!(
            (ratio.min - 0.5).abs() < 1e-9
                && (ratio.max - 2.0).abs() < 1e-9
                && (ratio.median - 1.25).abs() < 1e-9
        );
        assert!((figures.wal_bytes_per_event - 700.0).abs() < 1e-9);
        assert_eq!(figures.rss_peak_bytes, Some(4_000));
    }
}
