//! `weir policy`: compliance policies on plans and objects, without a server.

mod backtest;
mod check;
mod coverage;
mod evaluate;
mod formats;
pub(super) mod in_force;
mod load;
mod suite;

pub(super) use load::{document as text_of, files_below as files_of};

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use clap::{Args, Subcommand};
use policies::{BuiltinErrors, Config, InForce, Policy, PolicySet};
use projections::compliance::ControlCatalogue;
use serde_json::{Value, json};
use sinks::query_api::Controls;

use super::{
    Outcome,
    output::{self, Format, note},
};

/// The controls that policies are evidence for.
pub(super) fn controls(policies: InForce) -> Controls {
    // The catalogue of a set of policies, made once for each set.
    let known: Mutex<Option<(String, Arc<ControlCatalogue>)>> = Mutex::default();
    Controls::new(move || {
        let held = policies.current();
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((hash, catalogue)) if hash == held.set().hash() => Arc::clone(catalogue),
            _ => {
                let mut catalogue = ControlCatalogue::default();
                for policy in held.set().policies() {
                    catalogue.add(&policy.id, &policy.controls);
                }
                let catalogue = Arc::new(catalogue);
                *known = Some((held.set().hash().to_owned(), Arc::clone(&catalogue)));
                catalogue
            }
        }
    })
}

/// Arguments of `weir policy`.
#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Judge plans and Kubernetes objects; exit 1 if a policy denies.
    Evaluate(evaluate::EvaluateArgs),
    /// Name every policy that cannot be used, and why; exit 1 if there is one.
    Check(check::CheckArgs),
    /// List the policies.
    List {
        #[command(flatten)]
        policies: WhichPolicies,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Run the policies' cases and their tests in Rego; exit 1 if one goes wrong.
    Test(suite::TestArgs),
    /// Show how other policies would have judged what was recorded, beside the present ones; touches nothing.
    Backtest(backtest::BacktestArgs),
    /// Show which controls have policies, or which resources of documents no policy judges.
    Coverage(coverage::CoverageArgs),
    /// Show one policy: whom it concerns, what to do, its controls, and its text.
    Explain {
        /// Its id, title or file.
        policy: String,
        #[command(flatten)]
        policies: WhichPolicies,
    },
    /// Print the catalogue of policies as Markdown.
    Catalogue {
        #[command(flatten)]
        policies: WhichPolicies,
    },
}

/// The policies of a command.
#[derive(Debug, Args)]
pub(super) struct WhichPolicies {
    /// Folder (or file) of policies, in place of Weir's own and those of the settings; may be repeated.
    #[arg(long, value_name = "DIR")]
    policies: Vec<PathBuf>,
    /// Weir's own policies beside those of --policies.
    #[arg(long)]
    own: bool,
    /// Errors within built-in functions are errors of the policy, in place of undefined values.
    #[arg(long)]
    strict: bool,
}

impl WhichPolicies {
    /// Loads the set.
    pub(super) fn read(&self) -> anyhow::Result<(PolicySet, load::Files)> {
        let errors = if self.strict { BuiltinErrors::Strict } else { BuiltinErrors::Undefined };
        let files = load::Files::of(&self.policies, self.own)?;
        let set = PolicySet::load(files.texts(), Config { errors, ..Config::default() });
        Ok((set, files))
    }
}

/// Runs the command.
pub(super) async fn policy(args: PolicyArgs) -> anyhow::Result<Outcome> {
    match args.command {
        PolicyCommand::Evaluate(args) => evaluate::evaluate(&args),
        PolicyCommand::Check(args) => check::check(&args),
        PolicyCommand::List { policies, output } => list(&policies, output),
        PolicyCommand::Test(args) => suite::test(&args),
        PolicyCommand::Backtest(args) => backtest::backtest(args).await,
        PolicyCommand::Coverage(args) => coverage::coverage(&args),
        PolicyCommand::Explain { policy, policies } => explain(&policy, &policies),
        PolicyCommand::Catalogue { policies } => {
            output::line(policies::catalogue(&policies.read()?.0).trim_end());
            Ok(Outcome::Done)
        }
    }
}

fn described(policy: &Policy) -> Value {
    json!({
        "policy_id": policy.id, "title": policy.title, "severity": policy.severity, "form": policy.form(),
        "resource_types": policy.resource_types, "controls": policy.controls, "remediation": policy.remediation,
        "description": policy.description, "file": policy.file, "policy_hash": policy.hash,
    })
}

fn list(which: &WhichPolicies, format: Format) -> anyhow::Result<Outcome> {
    let (set, files) = which.read()?;
    files.warn_about(set.faults());
    match format {
        Format::Json => output::json(&set.policies().iter().map(described).collect::<Vec<_>>())?,
        Format::Ndjson => set.policies().iter().try_for_each(|policy| output::json(&described(policy)))?,
        Format::Table => {
            let mut table = output::table(&["severity", "id", "title", "form", "file"]);
            for policy in set.policies() {
                table.add_row([
                    policy.severity.name(),
                    &policy.id,
                    &policy.title,
                    policy.form(),
                    &policy.file,
                ]);
            }
            output::print_table(&table, "no policy can be used");
            note(&format!("{} policies, set {}", set.policies().len(), set.hash()));
        }
    }
    Ok(Outcome::Done)
}

fn explain(wanted: &str, which: &WhichPolicies) -> anyhow::Result<Outcome> {
    let (set, files) = which.read()?;
    let Some(policy) = set.find(wanted) else {
        note(&format!(
            "no usable policy has the id, title or file {wanted:?}; `weir policy list` shows them"
        ));
        return Ok(Outcome::No);
    };
    output::line(&format!("{} ({})", policy.title, policy.severity.name()));
    if !policy.description.is_empty() {
        output::line(&format!("  {}", policy.description));
    }
    output::line(&format!("  id           {}", policy.id));
    output::line(&format!("  form         {}", policy.form()));
    let types: Vec<_> = policy.resource_types.iter().map(String::as_str).collect();
    output::line(&format!(
        "  judges       {}",
        if types.is_empty() { "documents".into() } else { types.join(" ") }
    ));
    if !policy.decides.is_empty() {
        output::line(&format!("  decides by   {}", policy.decides.join(" ")));
    }
    output::line(&format!("  remediation  {}", policy.remediation));
    for (framework, controls) in &policy.controls {
        output::line(&format!("  {framework:<12} {}", controls.join(" ")));
    }
    output::line(&format!("  file         {}, version {}", policy.file, policy.hash));
    output::line("");
    output::line(files.text(&policy.file).unwrap_or_default().trim_end());
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_follows_the_policies_in_force() {
        let set = |control: &str| {
            let text = format!(
                "# METADATA\n# custom:\n#   id: p\n#   resource_types: [t]\n#   controls: {{F: [\"{control}\"]}}\npackage p\n\n\
                 deny contains \"no\" if input.config.bad\n"
            );
            let set = PolicySet::load([("p.rego", text.as_str())], Config::default());
            assert_eq!(set.faults(), []);
            set
        };
        let policies = InForce::new(set("1"));
        let controls = controls(policies.clone());
        let first = controls.current();
        assert!(Arc::ptr_eq(&first, &controls.current()), "made once for each set");
        policies.replace(set("2"));
        assert_ne!(format!("{first:?}"), format!("{:?}", controls.current()));
    }
}
