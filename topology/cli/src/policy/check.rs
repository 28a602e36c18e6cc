//! `weir policy check`: which policies cannot be used, where, and why.

use std::path::PathBuf;

use clap::Args;
use policies::{Config, PolicySet};
use serde_json::json;

use super::load::Files;
use crate::{
    Outcome,
    output::{self, Format, note},
};

/// Arguments of `weir policy check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Folders (or files) of policies.
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let files = Files::of(&args.dirs, false)?;
    let set = PolicySet::load(files.texts(), Config::default());
    let untested: Vec<_> = set.untested().iter().map(|policy| policy.id.clone()).collect();
    if args.output == Format::Table {
        for reason in files.unreadable() {
            note(reason);
        }
        for fault in set.faults() {
            note(&fault.to_string());
            let line = fault.line.and_then(|line| files.text(&fault.file)?.lines().nth(line - 1));
            if let (Some(number), Some(line)) = (fault.line, line) {
                note(&format!("  {number:>4} | {}", line.trim_end()));
            }
        }
        let left_out = files.unreadable().len() + set.faults().len();
        output::line(&format!(
            "{} policies can be used, {left_out} faults, {} policies without a test",
            set.policies().len(),
            untested.len()
        ));
    } else {
        output::json(&json!({
            "usable": set.policies().len(), "faults": set.faults(), "unreadable": files.unreadable(),
            "untested": untested, "policy_set": set.hash(),
        }))?;
    }
    let is_in_order = set.faults().is_empty() && files.unreadable().is_empty();
    Ok(if is_in_order { Outcome::Done } else { Outcome::No })
}
