//! `weir policy backtest`: how other policies would have judged the resources that were recorded, beside how the present
//! ones judge them.
//!
//! Reads topics and nothing else: no position moves, no read model is touched.

mod judged;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use policies::{Config, InForce, PolicySet};
use schemas::{Timestamp, Topic};
use serde::Serialize;
use topology::runtime::offline::history::Counts;

use self::judged::{Difference, Judged};
use super::load::Files;
use crate::{
    Outcome,
    output::{self, Format, note},
    past::PastArgs,
    place::Place,
};

/// Topics with events that show resources.
const TOPICS: [Topic; 2] = [Topic::Infrastructure, Topic::Activity];

/// Arguments of `weir policy backtest`.
#[derive(Debug, Args)]
pub(super) struct BacktestArgs {
    /// Folder (or file) of the candidate policies.
    policies: PathBuf,
    /// Weir's own policies beside the candidates.
    #[arg(long)]
    own: bool,
    #[command(flatten)]
    past: PastArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    from: Timestamp,
    to: Timestamp,
    candidate_set: String,
    present_set: String,
    #[serde(flatten)]
    read: Counts,
    /// Resources that exist at the end and were judged.
    resources: usize,
    policies: Vec<Difference>,
}

pub(super) async fn backtest(args: BacktestArgs) -> anyhow::Result<Outcome> {
    let past = args.past.checked()?;
    let candidate = loaded(&Files::of(std::slice::from_ref(&args.policies), args.own)?)?;
    let present = loaded(&Files::of(&[], false)?)?;
    let hash = |policies: &InForce| policies.current().set().hash().to_owned();
    let (candidate_set, present_set) = (hash(&candidate), hash(&present));
    let place = Place::find().await?;
    let (read, judged) = past.read(&place, &TOPICS, Judged::new(candidate, present), Judged::see).await?;
    let PastArgs { from, to, examples, output, .. } = args.past;
    let (resources, policies) = judged.differences(usize::try_from(examples)?);
    print(&Report { from, to, candidate_set, present_set, read, resources, policies }, output)?;
    Ok(Outcome::Done)
}

fn loaded(files: &Files) -> anyhow::Result<InForce> {
    let set = PolicySet::load(files.texts(), Config::default());
    files.warn_about(set.faults());
    ensure!(!set.policies().is_empty(), "none of the policies can be used; `weir policy check` says why");
    Ok(InForce::new(set))
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(report)?,
        Format::Ndjson => report.policies.iter().try_for_each(output::json)?,
        Format::Table => {
            let mut table = output::table(&[
                "policy",
                "severity",
                "fails (candidate)",
                "fails (present)",
                "added",
                "removed",
                "resources",
            ]);
            for policy in report.policies.iter().filter(|policy| policy.is_of_note()) {
                let added = policy.examples_added.iter().map(|resource| format!("+{resource}"));
                let removed = policy.examples_removed.iter().map(|resource| format!("-{resource}"));
                table.add_row([
                    policy.policy_id.clone(),
                    policy.severity.to_owned(),
                    policy.candidate.fail.to_string(),
                    policy.present.fail.to_string(),
                    policy.added.to_string(),
                    policy.removed.to_string(),
                    added.chain(removed).collect::<Vec<_>>().join(" "),
                ]);
            }
            output::print_table(&table, "no resource fails by either set of policies");
        }
    }
    note(&format!(
        "{} resources; {} records, {} events of that time, {} not decodable",
        report.resources, report.read.records, report.read.events, report.read.undecodable
    ));
    Ok(())
}
