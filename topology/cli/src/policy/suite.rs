//! `weir policy test`: the cases of policies, and their tests in Rego.

use clap::Args;
use serde_json::json;

use super::WhichPolicies;
use crate::{
    Outcome,
    output::{self, Format, note},
};

/// Arguments of `weir policy test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    policies: WhichPolicies,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(super) fn test(args: &TestArgs) -> anyhow::Result<Outcome> {
    let (set, files) = args.policies.read()?;
    let outcomes = set.test();
    let wrong: Vec<_> = outcomes.iter().filter(|outcome| outcome.wrong.is_some()).collect();
    if args.output == Format::Table {
        files.warn_about(set.faults());
        for outcome in &wrong {
            let reason = outcome.wrong.as_deref().unwrap_or_default();
            note(&format!("{}: {}: {reason}", outcome.file, outcome.name));
        }
        output::line(&format!("{} tests hold, {} do not", outcomes.len() - wrong.len(), wrong.len()));
    } else {
        output::json(&json!({
            "tests": outcomes.len(), "held": outcomes.len() - wrong.len(), "wrong": wrong, "faults": set.faults(),
        }))?;
    }
    if outcomes.is_empty() {
        note("there is no test: NAME.tests.yaml beside NAME.rego, or rules named test_… in Rego");
        return Ok(Outcome::Usage);
    }
    let is_in_order = wrong.is_empty() && set.faults().is_empty() && files.unreadable().is_empty();
    Ok(if is_in_order { Outcome::Done } else { Outcome::No })
}
