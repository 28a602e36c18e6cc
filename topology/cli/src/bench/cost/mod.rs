//! `weir bench cost`: how fast a bill becomes days, and how fast days are asked for.

mod bill;
mod questions;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use sinks::{
    raw_charges::{self, DaySums},
    raw_copy,
};
use tokio::time::Instant;

use super::{
    drain::{Figures, Run, figures, measure_ours},
    machine,
    stand::Stand,
};
use crate::{
    Outcome,
    output::{self, Format, note},
    run::MEMORY,
};
use questions::Answered;

const LOADER: &str = include_str!("loader.py");
/// Pairs share a server: databases of earlier ones are dropped.
const DATABASE: &str = "bench_cost";
/// The tenant of charges that are imported without one.
const TENANT: &str = crate::up::LOCAL_TENANT;

/// Arguments of `weir bench cost`.
#[derive(Debug, Args)]
pub(super) struct CostArgs {
    /// Number of charges in the bill.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1_000..=50_000_000))]
    charges: u64,
    /// Number of measurements of each side, in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pairs: u32,
    /// Number of times that each query is run.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// A Python with pyarrow and psycopg, for the loader.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Serialize)]
struct Report {
    name: &'static str,
    /// From the file to the days: the import and the stage, one after the other.
    ours: Figures,
    /// From the file to the topic.
    import: Figures,
    /// From the topic to the days.
    stage: Figures,
    peers: BTreeMap<&'static str, Figures>,
    /// Reason why a baseline is missing.
    missing: BTreeMap<&'static str, String>,
    questions: Vec<Answered>,
    pairs: u32,
    charges: u64,
    bill_bytes: u64,
    /// Days of series that the charges became.
    days: i64,
    load: String,
}

/// Report of the loader.
#[derive(Debug, Deserialize)]
struct Loaded {
    seconds: f64,
    cpu_seconds: f64,
    rss_peak_bytes: u64,
    days: i64,
    billed: String,
    charges: i64,
}

/// Imports a bill once, then measures the stage and the yardsticks in turn, and asks about the days.
pub(super) async fn cost(args: &CostArgs) -> anyhow::Result<Outcome> {
    let stand = Stand::start().await?;
    let folder = stand.dir.join("bill");
    std::fs::create_dir_all(&folder).context("making a folder for the bill")?;
    let file = folder.join("bill.csv");
    note(&format!("writing a bill of {} charges", args.charges));
    let bill_bytes = bill::write(&file, args.charges).context("writing the bill")?;
    let mut missing = BTreeMap::new();
    let loader = folder.join("loader.py");
    std::fs::write(&loader, LOADER).context("writing the loader")?;
    if let Err(reason) = has_libraries(&args.python) {
        note(&format!("the loader is left out: {reason}"));
        missing.insert("python", reason);
    }
    note("importing it");
    let import = import(&stand, &file, args.charges).await?;
    let (mut stage, mut raw, mut python, mut questions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut expected: Option<DaySums> = None;
    for pair in 1..=args.pairs {
        let database = stand.database(DATABASE).await?;
        raw_copy::checkpoint(&database).await?;
        stage.push(measure_ours(&stand, &[("cost", args.charges)], &database).await?);
        let ours = raw_charges::sums_of_days(&database).await?;
        raw.push(measure_raw(&stand, &database, (&file, args.charges), &ours).await?);
        if missing.is_empty() {
            let loader = [args.python.as_path(), loader.as_path(), file.as_path()];
            python.push(measure_python(&stand, loader, args.charges, &ours).await?);
        }
        if questions.is_empty() {
            note("asking for time series and breakdowns");
            questions = questions::ask(&database, TENANT, args.rounds).await?;
        }
        note(&format!(
            "pair {pair}: stage {:.0}/s, raw COPY {:.0}/s{}; load {}",
            stage[stage.len() - 1].events_per_s(),
            raw[raw.len() - 1].events_per_s(),
            python.last().map(|run| format!(", loader {:.0}/s", run.events_per_s())).unwrap_or_default(),
            machine::load()
        ));
        sinks::postgres::drop_database(&stand.endpoints.maintenance_url, DATABASE).await?;
        expected = Some(ours);
    }
    let ours: Vec<Run> = stage.iter().map(|stage| import.followed_by(stage)).collect();
    let mut peers = BTreeMap::from([("raw_copy", figures(&raw, Some(&ours)))]);
    if !python.is_empty() {
        peers.insert("python", figures(&python, Some(&ours)));
    }
    std::fs::remove_dir_all(&folder).context("removing the bill")?;
    let report = Report {
        name: "cost",
        ours: figures(&ours, None),
        import: figures(&[import], None),
        stage: figures(&stage, None),
        peers,
        missing,
        questions,
        pairs: args.pairs,
        charges: args.charges,
        bill_bytes,
        days: expected.map_or(0, |sums| sums.days),
        load: machine::load(),
    };
    print(&report, args.output)?;
    Ok(Outcome::Done)
}

/// `weir import focus`, as a process of its own.
async fn import(stand: &Stand, file: &Path, charges: u64) -> anyhow::Result<Run> {
    let began = Instant::now();
    let mut child = Command::new(std::env::current_exe().context("finding the program to start")?)
        .args(["--quiet", "import", "focus", "--output", "json", "--tenant", TENANT])
        .arg(file)
        .env("KAFKA_BOOTSTRAP_SERVERS", &stand.endpoints.kafka)
        .env("DATABASE_URL", &stand.endpoints.maintenance_url)
        .env("WEIR_HOME", &stand.dir)
        .env_remove("SCHEMA_REGISTRY_URL")
        .envs(MEMORY)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("starting the import")?;
    let pid = i32::try_from(child.id())?;
    let (mut cpu, mut memory) = (Duration::ZERO, 0);
    let status = loop {
        // What a process has used is known as long as it is there.
        cpu = machine::cpu_of(pid).unwrap_or(cpu).max(cpu);
        memory = machine::peak_memory(pid).unwrap_or(memory).max(memory);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    if !status.success() {
        bail!("the import failed; what it says stands above");
    }
    Ok(Run { events: charges, took: began.elapsed(), cpu, wal_bytes: 0, rss_peak_bytes: Some(memory) })
}

async fn measure_raw(
    stand: &Stand,
    database: &str,
    (file, charges): (&Path, u64),
    expected: &DaySums,
) -> anyhow::Result<Run> {
    let postmaster = stand.postmaster().await?;
    let own = i32::try_from(std::process::id())?;
    let (own_cpu, cpu) = (machine::cpu_of(own)?, machine::cpu_with_children(postmaster)?);
    let wal = raw_copy::wal_bytes(database).await?;
    let (took, found) = raw_charges::load(database, file).await?;
    same(&found, expected)?;
    Ok(Run {
        events: charges,
        took,
        cpu: machine::cpu_of(own)?.saturating_sub(own_cpu)
            + machine::cpu_with_children(postmaster)?.saturating_sub(cpu),
        wal_bytes: raw_copy::wal_bytes(database).await?.saturating_sub(wal),
        rss_peak_bytes: None,
    })
}

/// Whether a Python has what the loader needs.
fn has_libraries(python: &Path) -> Result<(), String> {
    let asked = Command::new(python).args(["-c", "import pyarrow, psycopg"]).output();
    match asked {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) => Err(format!(
            "{} lacks pyarrow or psycopg: `pip install pyarrow 'psycopg[binary]'`, or --python",
            python.display()
        )),
        Err(error) => Err(format!("{} cannot be started: {error}", python.display())),
    }
}

async fn measure_python(
    stand: &Stand,
    [python, script, file]: [&Path; 3],
    charges: u64,
    expected: &DaySums,
) -> anyhow::Result<Run> {
    const LOADED: &str = "bench_cost_loader";
    let database = sinks::postgres::create_database(&stand.endpoints.maintenance_url, LOADED).await?;
    raw_copy::checkpoint(&database).await?;
    let postmaster = stand.postmaster().await?;
    let (wal, cpu) = (raw_copy::wal_bytes(&database).await?, machine::cpu_with_children(postmaster)?);
    // The options behind it are those of our own client.
    let plain = database.split_once('?').map_or(database.as_str(), |(plain, _)| plain);
    let mut command = tokio::process::Command::new(python);
    let output = command.arg(script).arg(plain).arg(file).output().await.context("starting the loader")?;
    if !output.status.success() {
        bail!("the loader failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let loaded: Loaded = serde_json::from_slice(&output.stdout).context("reading what the loader says")?;
    let Loaded { days, billed, charges: counted, .. } = loaded;
    same(&DaySums { days, billed, charges: counted }, expected)?;
    let run = Run {
        events: charges,
        took: Duration::from_secs_f64(loaded.seconds),
        cpu: Duration::from_secs_f64(loaded.cpu_seconds)
            + machine::cpu_with_children(postmaster)?.saturating_sub(cpu),
        wal_bytes: raw_copy::wal_bytes(&database).await?.saturating_sub(wal),
        rss_peak_bytes: Some(loaded.rss_peak_bytes),
    };
    sinks::postgres::drop_database(&stand.endpoints.maintenance_url, LOADED).await?;
    Ok(run)
}

/// A figure is worth nothing if the days are not the same.
fn same(found: &DaySums, expected: &DaySums) -> anyhow::Result<()> {
    if found != expected {
        bail!("the yardstick has {found:?}, and Weir {expected:?}: the run does not count");
    }
    Ok(())
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(report);
    }
    let mut table = output::table(&[
        "side",
        "charges/s",
        "CPU µs/charge",
        "WAL B/charge",
        "peak RSS MB",
        "ours ÷ it (min–max)",
    ]);
    let own = [("ours", &report.ours), ("  import", &report.import), ("  stage", &report.stage)];
    for (name, figures) in own.into_iter().chain(report.peers.iter().map(|(name, f)| (*name, f))) {
        table.add_row(figures.cells(name));
    }
    output::print_table(&table, "nothing was measured");
    let mut table = output::table(&["question", "p50 ms", "p95 ms", "answers"]);
    for Answered { question, p50_ms, p95_ms, answers } in &report.questions {
        table.add_row([(*question).to_owned(), p50_ms.to_string(), p95_ms.to_string(), answers.to_string()]);
    }
    output::print_table(&table, "nothing was asked");
    Ok(())
}
