//! `weir bench full`: what all stages in one process do with a backlog, beside audit alone.

use std::collections::BTreeMap;

use anyhow::ensure;
use clap::Args;
use processors::{
    Processor as _,
    risk::{Risk, RuleSet, rules},
};
use producers::{generate::Mix, kafka::Purpose};
use schemas::{
    Envelope, Native, Timestamp, Topic,
    changes::{self, RiskChange},
    envelope::native_format::CLOUDTRAIL,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use topology::pipeline;

use super::{
    drain::{Figures, Run, figures, measure_ours, median},
    machine,
    stand::Stand,
};
use crate::{
    Outcome, generate,
    output::{self, Format, note},
};

/// Of the generated workload, one event in this number is of an attack: 2 %.
const ATTACK_EVERY: u64 = 50;
/// Events on which the share of hits is counted.
const COUNTED: usize = 2_000;
/// The database of the drain that is not measured.
const WARM_UP: &str = "full_warm_up";

/// Arguments of `weir bench full`.
#[derive(Debug, Args)]
pub(super) struct FullArgs {
    /// Number of events in the topics.
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// Number of measurements of each side, taken in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pairs: u32,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Records in the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Workload {
    /// A believable organisation's events of all families, on 2 % of which a rule fires.
    Generated,
    /// Records that a rule fires on, and nothing else: the positive examples of Weir's own rules.
    Attack,
}

#[derive(Debug, Serialize)]
struct Measured {
    workload: Workload,
    /// Audit, risk and change review.
    ours: Figures,
    audit_alone: Figures,
    /// Ours over audit alone in events per second, pair by pair: the median.
    ratio: f64,
    /// Share of events on which a rule fires.
    hits: f64,
    events: u64,
    pairs: u32,
    load: String,
}

#[derive(Debug, Serialize)]
struct Report {
    name: &'static str,
    runs: Vec<Measured>,
}

/// Measures both workloads, each on servers of its own.
pub(super) async fn full(args: &FullArgs) -> anyhow::Result<Outcome> {
    let mut runs = Vec::new();
    for workload in [Workload::Generated, Workload::Attack] {
        runs.push(measure(workload, args).await?);
    }
    print(&Report { name: "full", runs }, args.output)?;
    Ok(Outcome::Done)
}

async fn measure(workload: Workload, args: &FullArgs) -> anyhow::Result<Measured> {
    let attacks = attacks()?;
    let now = generate::now();
    let events = || events(workload, &attacks, now);
    let (hits, most) = (hits(events().take(COUNTED)), usize::try_from(args.events)?);
    let stand = Stand::start().await?;
    note(&format!("publishing {} events of the workload {workload:?}", args.events));
    let producer = stand.producer(Purpose::Bulk)?;
    // Counted as they are published: the generator's organisation lives by the clock, and no two runs of it are the same.
    let mut by_topic: BTreeMap<Topic, u64> = BTreeMap::new();
    let counted = |event: &Envelope| *by_topic.entry(event.event.topic()).or_default() += 1;
    generate::publish(&producer, events().take(most).inspect(counted)).await?;
    drop(producer);

    let expected = |stages: &[&'static str]| -> Vec<(&'static str, u64)> {
        let declared = pipeline::declaration();
        let of_stage = |stage: &&'static str| {
            let stage_topics = declared.stages().iter().find(|known| known.name() == *stage)?.topics();
            Some((*stage, stage_topics.iter().filter_map(|topic| by_topic.get(topic)).sum()))
        };
        stages.iter().filter_map(of_stage).collect()
    };
    let audit = expected(&[changes::audit::STAGE]);
    let all = expected(&[changes::audit::STAGE, changes::risk::STAGE, changes::change_review::STAGE]);
    note("draining once without measuring: a Java broker that was just started compiles itself meanwhile");
    drained(&stand, &all, WARM_UP).await?;
    let (mut ours, mut alone) = (Vec::new(), Vec::new());
    for pair in 1..=args.pairs {
        ours.push(drained(&stand, &all, &format!("full_{pair}")).await?);
        alone.push(drained(&stand, &audit, &format!("audit_{pair}")).await?);
        note(&format!(
            "pair {pair}: all stages {:.0}/s, audit alone {:.0}/s; load {}",
            ours[ours.len() - 1].events_per_s(),
            alone[alone.len() - 1].events_per_s(),
            machine::load()
        ));
    }
    let ratios = ours.iter().zip(&alone).map(|(ours, alone)| ours.events_per_s() / alone.events_per_s());
    Ok(Measured {
        workload,
        ratio: median(ratios.collect()),
        ours: figures(&ours, None),
        audit_alone: figures(&alone, None),
        hits,
        events: args.events,
        pairs: args.pairs,
        load: machine::load(),
    })
}

async fn drained(stand: &Stand, stages: &[(&str, u64)], database: &str) -> anyhow::Result<Run> {
    let url = stand.database(database).await?;
    sinks::raw_copy::checkpoint(&url).await?;
    let run = measure_ours(stand, stages, &url).await?;
    sinks::postgres::drop_database(&stand.endpoints.maintenance_url, database).await?;
    Ok(run)
}

/// Events of a workload until `now`, one after the other.
fn events(workload: Workload, attacks: &[String], now: Timestamp) -> impl Iterator<Item = Envelope> + '_ {
    let (mix, every) = match workload {
        Workload::Generated => (Mix::Organisation, ATTACK_EVERY),
        Workload::Attack => (Mix::CloudTrail, 1),
    };
    let risk = Risk::new(RuleSet::own());
    // How often rules fire on an organisation of its own depends on when it begins.
    let quiet = move |event: &Envelope| workload == Workload::Attack || !is_hit(&risk, event);
    let (mut since, mut records) = (0, attacks.iter().cycle());
    generate::endless(1, mix, now).filter(quiet).map(move |envelope| {
        since += 1;
        if since < every || envelope.event.topic() != Topic::Activity {
            return envelope;
        }
        since -= every;
        attack(envelope, records.next().map_or("", String::as_str))
    })
}

/// The event with a record that a rule fires on.
fn attack(envelope: Envelope, record: &str) -> Envelope {
    Envelope { native: Some(Native { format: CLOUDTRAIL.to_owned(), record: record.into() }), ..envelope }
}

/// The CloudTrail records among the positive examples of Weir's own rules.
fn attacks() -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Examples {
        positive: Vec<Example>,
    }
    #[derive(Deserialize)]
    struct Example {
        event: Option<Value>,
    }
    let mut found = Vec::new();
    let examples = rules::own().into_iter();
    for (_, text) in
        examples.filter(|(name, _)| name.starts_with("aws/") && name.ends_with(rules::EXAMPLES_SUFFIX))
    {
        let examples: Examples = serde_saphyr::from_str(text)?;
        found
            .extend(examples.positive.into_iter().filter_map(|example| example.event).map(|e| e.to_string()));
    }
    ensure!(!found.is_empty(), "no rule for CloudTrail has a positive example");
    Ok(found)
}

/// The share of events that give a signal. What only counts towards a correlation is no hit.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn hits(events: impl Iterator<Item = Envelope>) -> f64 {
    let risk = Risk::new(RuleSet::own());
    let (mut all, mut hit) = (0_u64, 0_u64);
    for event in events {
        all += 1;
        hit += u64::from(is_hit(&risk, &event));
    }
    hit as f64 / all.max(1) as f64
}

fn is_hit(risk: &Risk, event: &Envelope) -> bool {
    risk.process(event).iter().any(|change| matches!(change, RiskChange::Signal(_)))
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(report);
    }
    let columns = ["workload", "side", "events/s", "CPU µs/event", "WAL B/event", "peak RSS MB", "ours ÷ it"];
    let mut table = output::table(&columns);
    for run in &report.runs {
        let sides = [("all stages", &run.ours, None), ("audit alone", &run.audit_alone, Some(run.ratio))];
        for (side, figures, ratio) in sides {
            table.add_row([
                format!("{:?}, {:.1} % hits", run.workload, run.hits * 100.0),
                side.to_owned(),
                format!("{:.0}", figures.events_per_s),
                format!("{:.1}", figures.cpu_us_per_event),
                format!("{:.0}", figures.wal_bytes_per_event),
                figures.rss_peak_bytes.map(|bytes| (bytes / 1_000_000).to_string()).unwrap_or_default(),
                ratio.map(|ratio: f64| format!("{ratio:.2}")).unwrap_or_default(),
            ]);
        }
    }
    output::print_table(&table, "nothing was measured");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_of_an_attack_is_a_hit_and_two_of_a_hundred_of_an_organisation() {
        let attacks = attacks().expect("examples");
        let then = "2026-03-04T12:00:00Z".parse().expect("a time");
        let share = |workload| hits(events(workload, &attacks, then).take(COUNTED));
        assert!(share(Workload::Attack) > 0.9);
        let generated = share(Workload::Generated);
        assert!((0.015..0.0201).contains(&generated), "{generated}");
    }
}
