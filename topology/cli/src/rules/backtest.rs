//! `weir rules backtest`: what other rules would have found in the past, beside what the present ones find
//! there.
//!
//! Reads the topic and nothing else: no position moves, no read model is touched.

mod found;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use schemas::{Timestamp, Topic, changes::risk};
use serde::Serialize;

use self::found::{Difference, Found};
use super::load::{self, RuleSet, warn_about};
use crate::{
    Outcome,
    output::{self, Format, note},
    past::PastArgs,
    place::Place,
};
use topology::{pipeline, runtime::offline::history::Counts};

/// Arguments of `weir rules backtest`.
#[derive(Debug, Args)]
pub(super) struct BacktestArgs {
    /// Folder (or file) of the candidate rules.
    rules: PathBuf,
    /// Weir's own rules beside the candidates, as a stage has them.
    #[arg(long)]
    own: bool,
    #[command(flatten)]
    past: PastArgs,
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
    let past = args.past.checked()?;
    let place = Place::find().await?;
    let settings = &place.settings.rules;
    let set = RuleSet::read(Some(&args.rules), settings.placeholders())?;
    let own = set.own_beside(args.own)?;
    let (candidate, problems) = load::engine(own.iter().chain([&set]));
    warn_about(&problems);
    if !args.own {
        set.point_at_own(&problems)?;
    }
    let present = settings.sources().load().context("the present rules cannot be read")?.engine;
    let (read, found) = past.read(&place, &topics(), Found::new(candidate, present), Found::see).await?;
    let PastArgs { from, to, examples, output, .. } = args.past;
    let report = Report {
        from,
        to,
        read,
        unreadable: found.unreadable,
        duplicates: found.duplicates,
        rules: found.differences(usize::try_from(examples)?),
    };
    print(&report, output)?;
    Ok(Outcome::Done)
}

/// Topics that the stage reads.
fn topics() -> Vec<Topic> {
    let declared = pipeline::declaration();
    let stage = declared.stages().iter().filter(|stage| stage.name() == risk::STAGE);
    stage.flat_map(|stage| stage.topics().iter().copied()).collect()
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
