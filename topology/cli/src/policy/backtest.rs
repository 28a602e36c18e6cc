//! `weir policy backtest`: how other policies would have judged the resources that were recorded, beside how the present
//! ones judge them.
//!
//! Reads topics and nothing else: no position moves, no read model is touched.

mod judged;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, ensure};
use clap::Args;
use policies::{Config, InForce, PolicySet};
use schemas::{Envelope, TenantId, Timestamp, Topic};
use serde::Serialize;
use tokio::runtime::Handle;
use topology::runtime::offline::history::{Counts, History};

use self::judged::{Difference, Judged};
use super::load::Files;
use crate::{
    Outcome,
    output::{self, Format, note},
    place::Place,
    settings::kafka_security,
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
    /// From when events count, RFC 3339.
    #[arg(long)]
    from: Timestamp,
    /// Before when they count.
    #[arg(long)]
    to: Timestamp,
    /// Whose events; everybody's, if not given.
    #[arg(long)]
    tenant: Option<String>,
    /// Most resources that are named for each policy and difference.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    examples: u32,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
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
    ensure!(args.from < args.to, "--from must lie before --to");
    let tenant = args.tenant.as_deref().map(TenantId::new).transpose()?;
    let candidate = loaded(&Files::of(std::slice::from_ref(&args.policies), args.own)?)?;
    let present = loaded(&Files::of(&[], false)?)?;
    let place = Place::find().await?;
    let history = History {
        bootstrap: place.endpoints.kafka.clone(),
        extra: kafka_security(),
        registry: place.registry()?.map(Arc::new),
    };
    let hash = |policies: &InForce| policies.current().set().hash().to_owned();
    let (candidate_set, present_set) = (hash(&candidate), hash(&present));
    let (runtime, during) = (Handle::current(), (args.from, args.to));
    let reading = tokio::task::spawn_blocking(move || -> anyhow::Result<(Counts, Judged)> {
        let (mut judged, mut all, mut overfull) = (Judged::new(candidate, present), Counts::default(), None);
        for topic in TOPICS {
            let see = |event: Envelope| {
                if tenant.as_ref().is_none_or(|tenant| *tenant == event.tenant) && overfull.is_none() {
                    overfull = judged.see(&event).err();
                }
            };
            let counts = history.read(&runtime, topic, during, see)?;
            all.records += counts.records;
            all.events += counts.events;
            all.undecodable += counts.undecodable;
        }
        overfull.map_or(Ok((all, judged)), Err)
    });
    let (read, judged) = reading.await.context("reading the past panicked")??;
    let (resources, policies) = judged.differences(usize::try_from(args.examples)?);
    let (from, to) = during;
    print(&Report { from, to, candidate_set, present_set, read, resources, policies }, args.output)?;
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
