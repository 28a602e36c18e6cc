//! `weir bench risk`: what an event costs with 60, 600 and 3,000 rules, beside the same rules one by one.

mod rule_sets;

use std::{ops::ControlFlow, path::PathBuf, time::Duration};

use anyhow::{Context, bail, ensure};
use clap::Args;
use processors::risk::sigma::{Json, SigmaEngine};
use producers::{
    import::{self, FileRecord},
    sources::SourceFormat,
};
use schemas::{Envelope, TenantId, envelope::native_format::CLOUDTRAIL};
use serde::Serialize;
use tokio::time::Instant;

use super::{drain::median, machine};
use crate::{
    Outcome, generate,
    output::{self, Format, note},
    up::LOCAL_TENANT,
};

/// Numbers of rules to measure with.
const SIZES: [usize; 3] = [60, 600, 3_000];
/// Least duration of one measurement.
const AT_LEAST: Duration = Duration::from_millis(400);
/// Events evaluated between two readings of the clock.
const BETWEEN_LOOKS: usize = 16;
/// Events on which both sides' answers are compared before the measurement.
const COMPARED: usize = 500;

/// Arguments of `weir bench risk`.
#[derive(Debug, Args)]
pub(super) struct RiskArgs {
    /// Files and folders of CloudTrail records; without them, records of `weir generate`.
    #[arg(long)]
    events: Vec<PathBuf>,
    /// Most records that are held and asked, in turn.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    records: u32,
    /// Number of measurements of each size and its peer, taken in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pairs: u32,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Run {
    events: usize,
    hits: usize,
    took: Duration,
    cpu: Duration,
}

#[expect(clippy::cast_precision_loss, reason = "rates of counts far below 2^52")]
impl Run {
    fn events_per_s(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    fn cpu_us_per_event(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.events as f64
    }

    fn hits_per_event(&self) -> f64 {
        self.hits as f64 / self.events as f64
    }
}

/// One size of one side: medians over the pairs.
#[derive(Debug, Serialize)]
struct Figures {
    rules: usize,
    events_per_s: f64,
    cpu_us_per_event: f64,
    hits_per_event: f64,
    /// Our events per second over the peer's, pair by pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Peer {
    what: &'static str,
    runs: Vec<Figures>,
}

#[derive(Debug, Serialize)]
struct Report {
    name: &'static str,
    runs: Vec<Figures>,
    peer: Peer,
    /// CPU per event with the most rules over CPU per event with the fewest, pair by pair: the median.
    growth: f64,
    records: usize,
    /// Reading one record's JSON, which every figure contains, in µs of CPU.
    read_us_per_event: f64,
    pairs: u32,
    load: String,
}

/// Measures every size and its peer in turn.
pub(super) fn risk(args: &RiskArgs) -> anyhow::Result<Outcome> {
    let records = records(args)?;
    let engines = SIZES.map(rule_sets::cloudtrail);
    let engines = engines.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for engine in &engines {
        compare(engine, &records)?;
    }
    let (mut ours, mut peers) = (vec![Vec::new(); SIZES.len()], vec![Vec::new(); SIZES.len()]);
    let mut reading = Vec::new();
    for pair in 1..=args.pairs {
        reading.push(measure(&records, |record| Ok(usize::from(matches!(read(record)?, Json::Object(_)))))?);
        for (at, engine) in engines.iter().enumerate() {
            ours[at].push(measure(&records, |record| Ok(engine.evaluate(CLOUDTRAIL, record)?.len()))?);
            peers[at].push(measure(&records, |record| {
                Ok(engine.evaluate_each(CLOUDTRAIL, &read(record)?).len())
            })?);
        }
        note(&format!("pair {pair} of {}; load {}", args.pairs, machine::load()));
    }
    let growths = ours[SIZES.len() - 1].iter().zip(&ours[0]);
    let report = Report {
        name: "risk",
        growth: median(growths.map(|(most, few)| most.cpu_us_per_event() / few.cpu_us_per_event()).collect()),
        runs: ours.iter().zip(SIZES).map(|(runs, rules)| figures(rules, runs, None)).collect(),
        peer: Peer {
            what: "the same rules one by one",
            runs: (0..SIZES.len()).map(|at| figures(SIZES[at], &peers[at], Some(&ours[at]))).collect(),
        },
        records: records.len(),
        read_us_per_event: median(reading.iter().map(Run::cpu_us_per_event).collect()),
        pairs: args.pairs,
        load: machine::load(),
    };
    print(&report, args.output)?;
    Ok(Outcome::Done)
}

fn records(args: &RiskArgs) -> anyhow::Result<Vec<String>> {
    let most = usize::try_from(args.records)?;
    let native = |envelope: &Envelope| envelope.native.as_ref().map(|native| native.record.to_string());
    if args.events.is_empty() {
        return Ok(generate::cloudtrail_events(1)
            .filter_map(|envelope| native(&envelope))
            .take(most)
            .collect());
    }
    let mut found = Vec::new();
    let tenant = TenantId::new(LOCAL_TENANT)?;
    import::records(args.events.clone(), SourceFormat::CloudTrail, &tenant, |record| {
        if let FileRecord::Record { envelope, .. } = record {
            found.extend(native(&envelope));
        }
        if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    ensure!(!found.is_empty(), "the files hold no CloudTrail record");
    Ok(found)
}

fn read(record: &str) -> anyhow::Result<Json<'_>> {
    Json::read(record).context("a record cannot be read")
}

/// A figure is worth nothing if the two sides answer differently.
fn compare(engine: &SigmaEngine, records: &[String]) -> anyhow::Result<()> {
    for record in records.iter().take(COMPARED) {
        let indexed = engine.evaluate(CLOUDTRAIL, record)?;
        let indexed: Vec<_> = indexed.iter().map(|hit| &hit.rule.id).collect();
        let each = engine.evaluate_each(CLOUDTRAIL, &read(record)?);
        let each: Vec<_> = each.iter().map(|rule| &rule.id).collect();
        if indexed != each {
            bail!("the index finds {indexed:?}, one by one {each:?} fire on {record}");
        }
    }
    Ok(())
}

/// Evaluates record after record until enough time has passed.
fn measure(records: &[String], ask: impl Fn(&str) -> anyhow::Result<usize>) -> anyhow::Result<Run> {
    let own = i32::try_from(std::process::id())?;
    let (cpu, start) = (machine::cpu_of(own)?, Instant::now());
    let (mut events, mut hits) = (0, 0);
    let mut records = records.iter().cycle();
    loop {
        for record in records.by_ref().take(BETWEEN_LOOKS) {
            hits += ask(record)?;
            events += 1;
        }
        let took = start.elapsed();
        if took >= AT_LEAST {
            return Ok(Run { events, hits, took, cpu: machine::cpu_of(own)?.saturating_sub(cpu) });
        }
    }
}

fn figures(rules: usize, runs: &[Run], ours: Option<&Vec<Run>>) -> Figures {
    let median_of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    let ratio = |ours: &Vec<Run>| {
        median(ours.iter().zip(runs).map(|(a, b)| a.events_per_s() / b.events_per_s()).collect())
    };
    Figures {
        rules,
        events_per_s: median_of(Run::events_per_s),
        cpu_us_per_event: median_of(Run::cpu_us_per_event),
        hits_per_event: median_of(Run::hits_per_event),
        ratio: ours.map(ratio),
    }
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(report);
    }
    let mut table = output::table(&[
        "rules",
        "events/s",
        "CPU µs/event",
        "hits/event",
        "one by one: events/s",
        "CPU µs/event",
        "ours ÷ it",
    ]);
    for (ours, peer) in report.runs.iter().zip(&report.peer.runs) {
        table.add_row([
            ours.rules.to_string(),
            format!("{:.0}", ours.events_per_s),
            format!("{:.1}", ours.cpu_us_per_event),
            format!("{:.2}", ours.hits_per_event),
            format!("{:.0}", peer.events_per_s),
            format!("{:.1}", peer.cpu_us_per_event),
            format!("{:.1}", peer.ratio.unwrap_or_default()),
        ]);
    }
    output::print_table(&table, "nothing was measured");
    output::line(&format!(
        "{} rules cost {:.2} times what {} cost; {:.1} µs of each event are its JSON",
        SIZES[SIZES.len() - 1],
        report.growth,
        SIZES[0],
        report.read_us_per_event
    ));
    Ok(())
}
