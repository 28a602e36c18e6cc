//! `weir rules backtest`: what other rules would have found in the past, beside what the present ones find
//! there.
//!
//! Reads the topic and nothing else: no position moves, no read model is touched.

mod found;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, ensure};
use clap::Args;
use schemas::{Envelope, TenantId, Timestamp, Topic};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;

use self::found::{Difference, Found};
use super::load::{RuleSet, warn_about};
use crate::{
    Outcome,
    output::{self, Format, note},
    place::Place,
    settings::kafka_security,
};
use topology::runtime::offline::history::{Counts, History};

/// Arguments of `weir rules backtest`.
#[derive(Debug, Args)]
pub(super) struct BacktestArgs {
    /// Folder (or file) of the candidate rules.
    rules: PathBuf,
    /// From when events count, RFC 3339.
    #[arg(long)]
    from: Timestamp,
    /// Before when they count.
    #[arg(long)]
    to: Timestamp,
    /// Only events of this tenant; all tenants' by default.
    #[arg(long)]
    tenant: Option<String>,
    /// Most events that are named for each rule and difference.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    examples: u32,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Serialize)]
struct Report {
    from: Timestamp,
    to: Timestamp,
    #[serde(flatten)]
    read: Counts,
    /// Events whose native record rules could not read.
    unreadable: u64,
    /// Events that came again.
    duplicates: u64,
    rules: Vec<Difference>,
}

pub(super) async fn backtest(args: BacktestArgs) -> anyhow::Result<Outcome> {
    ensure!(args.from < args.to, "--from must lie before --to");
    let tenant = args.tenant.as_deref().map(TenantId::new).transpose()?;
    let place = Place::find().await?;
    let settings = &place.settings.rules;
    let (candidate, problems) = RuleSet::read(Some(&args.rules), settings.placeholders())?.engine();
    warn_about(&problems);
    let present = settings.sources().load().context("the present rules cannot be read")?.engine;
    let history = History {
        bootstrap: place.endpoints.kafka.clone(),
        extra: kafka_security(),
        registry: place.registry()?.map(Arc::new),
    };
    let (runtime, during) = (Handle::current(), (args.from, args.to));
    let reading = tokio::task::spawn_blocking(move || -> anyhow::Result<(Counts, Found)> {
        let mut found = Found::new(candidate, present);
        let mut overfull = None;
        let see = |event: Envelope| {
            if tenant.as_ref().is_none_or(|tenant| *tenant == event.tenant) && overfull.is_none() {
                overfull = found.see(&event).err();
            }
        };
        let counts = history.read(&runtime, Topic::Activity, during, see)?;
        overfull.map_or(Ok((counts, found)), Err)
    });
    let (read, found) = reading.await.context("reading the past panicked")??;
    let report = Report {
        from: args.from,
        to: args.to,
        read,
        unreadable: found.unreadable,
        duplicates: found.duplicates,
        rules: found.differences(usize::try_from(args.examples)?),
    };
    print(&report, args.output)?;
    Ok(Outcome::Done)
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(report)?,
        Format::Ndjson => report.rules.iter().try_for_each(output::json)?,
        Format::Table => {
            let mut table = output::table(&[
                "rule",
                "candidate",
                "present",
                "added",
                "removed",
                "level",
                "title",
                "events",
            ]);
            for rule in report.rules.iter().filter(|rule| rule.candidate + rule.present > 0) {
                let events = rule.examples_added.iter().map(|id| format!("+{id}"));
                let events = events.chain(rule.examples_removed.iter().map(|id| format!("-{id}")));
                table.add_row([
                    rule.rule_id.clone(),
                    rule.candidate.to_string(),
                    rule.present.to_string(),
                    rule.added.to_string(),
                    rule.removed.to_string(),
                    rule.level.to_owned(),
                    rule.title.clone(),
                    events.collect::<Vec<_>>().join(" "),
                ]);
            }
            output::print_table(&table, "neither set of rules finds anything");
        }
    }
    note(&format!(
        "{} records, {} events of that time, {} not decodable, {} not readable by rules, {} came again",
        report.read.records,
        report.read.events,
        report.read.undecodable,
        report.unreadable,
        report.duplicates
    ));
    Ok(())
}

/// A native record as JSON.
fn read(record: &str) -> Option<Value> {
    serde_json::from_str(record).ok()
}
