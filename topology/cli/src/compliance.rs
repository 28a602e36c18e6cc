//! `weir compliance`: catalogues of frameworks beside the policies that are evidence for them, without a server; and
//! reports of a framework's posture.

mod evidence;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use policies::{Fault, Framework, PolicySet};
use serde_json::{Value, json};

use super::{
    Outcome,
    output::{self, Format, note},
    policy::{WhichPolicies, files_of, text_of},
};

/// Arguments of `weir compliance`.
#[derive(Debug, Args)]
pub(super) struct ComplianceArgs {
    #[command(subcommand)]
    command: ComplianceCommand,
}

#[derive(Debug, Subcommand)]
enum ComplianceCommand {
    /// List the frameworks that the policies name, or those of catalogues with the requirements that have policies.
    Frameworks {
        /// Catalogues: Prowler's JSON, OSCAL catalogues, or folders of them.
        catalogues: Vec<PathBuf>,
        #[command(flatten)]
        policies: WhichPolicies,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Lint catalogues: repeated ids and checks, checks that are nowhere, empty requirements; exit 1 if there is one.
    Check {
        /// Catalogues: Prowler's JSON, OSCAL catalogues, or folders of them.
        #[arg(required = true)]
        catalogues: Vec<PathBuf>,
        #[command(flatten)]
        policies: WhichPolicies,
        /// Checks must be policies; without it, checks of other tools are taken as they are.
        #[arg(long)]
        known_checks: bool,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Report a framework's posture at an instant: every control, with the verdicts that are evidence for it.
    Report(report::ReportArgs),
    /// Write a packet of evidence: every verdict with its proof, which `weir evidence verify` checks without a server.
    Evidence(evidence::EvidenceArgs),
    /// Show the controls of every framework that a policy is evidence for, or those beside a control.
    Crosswalk {
        /// A policy's id, or a control as policies name it, for example `164.312(b)`.
        wanted: String,
        #[command(flatten)]
        policies: WhichPolicies,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
}

/// Runs the command.
pub(super) async fn compliance(args: ComplianceArgs) -> anyhow::Result<Outcome> {
    match args.command {
        ComplianceCommand::Frameworks { catalogues, policies, output } if catalogues.is_empty() => {
            named_by_policies(&policies.read()?.0, output)
        }
        ComplianceCommand::Frameworks { catalogues, policies, output } => {
            frameworks(&catalogues, &policies.read()?.0, output)
        }
        ComplianceCommand::Check { catalogues, policies, known_checks, output } => {
            let set = if known_checks { Some(policies.read()?.0) } else { None };
            check(&catalogues, set.as_ref(), output)
        }
        ComplianceCommand::Report(args) => report::report(args).await,
        ComplianceCommand::Evidence(args) => evidence::evidence(args).await,
        ComplianceCommand::Crosswalk { wanted, policies, output } => {
            crosswalk(&wanted, &policies.read()?.0, output)
        }
    }
}

/// Catalogues with their faults, and the files that are none.
struct Loaded {
    frameworks: Vec<(String, Framework)>,
    faults: Vec<Fault>,
    refused: Vec<String>,
}

fn load(paths: &[PathBuf], knows: impl Fn(&str) -> bool) -> anyhow::Result<Loaded> {
    let mut loaded = Loaded { frameworks: Vec::new(), faults: Vec::new(), refused: Vec::new() };
    for path in paths {
        let files = if path.is_dir() { files_of(path, &["json"])? } else { vec![path.clone()] };
        for file in files {
            let name = file.display().to_string();
            let read = text_of(&file)
                .and_then(|text| {
                    serde_json::from_str::<Value>(&text)
                        .map_err(|error| format!("it is not valid JSON: {error}"))
                })
                .and_then(|document| {
                    Framework::read(&name, &document, &knows).map_err(|refused| refused.to_string())
                });
            match read {
                Ok((framework, faults)) => {
                    loaded.frameworks.push((name, framework));
                    loaded.faults.extend(faults);
                }
                Err(reason) => loaded.refused.push(format!("{name}: {reason}")),
            }
        }
    }
    Ok(loaded)
}

fn named_by_policies(set: &PolicySet, format: Format) -> anyhow::Result<Outcome> {
    let mut frameworks: BTreeMap<&str, (BTreeSet<&str>, usize)> = BTreeMap::new();
    for policy in set.policies() {
        for (framework, controls) in &policy.controls {
            let (found, policies) = frameworks.entry(framework).or_default();
            found.extend(controls.iter().map(String::as_str));
            *policies += 1;
        }
    }
    if format == Format::Table {
        let mut table = output::table(&["framework", "controls", "policies"]);
        for (framework, (controls, policies)) in &frameworks {
            table.add_row([*framework, &controls.len().to_string(), &policies.to_string()]);
        }
        output::print_table(&table, "no policy names a framework");
    } else {
        let rows = frameworks.iter().map(|(framework, (controls, policies))| {
            json!({"framework": framework, "controls": controls, "policies": policies})
        });
        output::json(&rows.collect::<Vec<_>>())?;
    }
    Ok(Outcome::Done)
}

fn frameworks(paths: &[PathBuf], set: &PolicySet, format: Format) -> anyhow::Result<Outcome> {
    let loaded = load(paths, |_| true)?;
    for reason in &loaded.refused {
        note(reason);
    }
    let mut table =
        output::table(&["framework", "version", "provider", "requirements", "manual", "with policies"]);
    let mut rows = Vec::new();
    for (file, framework) in &loaded.frameworks {
        let policies = framework.crosswalk(set);
        let evidenced = policies.values().filter(|policies| !policies.is_empty()).count();
        table.add_row([
            &framework.framework,
            &framework.version,
            &framework.provider,
            &framework.requirements.len().to_string(),
            &framework.manual().to_string(),
            &evidenced.to_string(),
        ]);
        rows.push(json!({
            "file": file, "framework": framework.framework, "name": framework.name, "version": framework.version,
            "provider": framework.provider, "requirements": framework.requirements.len(),
            "manual": framework.manual(), "with_policies": evidenced, "policies": policies,
        }));
    }
    if format == Format::Table {
        output::print_table(&table, "there is no catalogue");
    } else {
        output::json(&rows)?;
    }
    Ok(if loaded.refused.is_empty() { Outcome::Done } else { Outcome::Usage })
}

fn check(paths: &[PathBuf], set: Option<&PolicySet>, format: Format) -> anyhow::Result<Outcome> {
    let loaded = load(paths, |check| set.is_none_or(|set| set.find(check).is_some()))?;
    let requirements: usize =
        loaded.frameworks.iter().map(|(_, framework)| framework.requirements.len()).sum();
    let manual: usize = loaded.frameworks.iter().map(|(_, framework)| framework.manual()).sum();
    if format == Format::Table {
        for reason in &loaded.refused {
            note(reason);
        }
        for fault in &loaded.faults {
            note(&fault.to_string());
        }
        output::line(&format!(
            "{} catalogues with {requirements} requirements ({manual} manual), {} refused, {} faults",
            loaded.frameworks.len(),
            loaded.refused.len(),
            loaded.faults.len()
        ));
    } else {
        output::json(&json!({
            "catalogues": loaded.frameworks.len(), "requirements": requirements, "manual": manual,
            "refused": loaded.refused, "faults": loaded.faults,
        }))?;
    }
    let is_in_order = loaded.refused.is_empty() && loaded.faults.is_empty();
    Ok(if is_in_order { Outcome::Done } else { Outcome::No })
}

fn crosswalk(wanted: &str, set: &PolicySet, format: Format) -> anyhow::Result<Outcome> {
    let names =
        |controls: &BTreeMap<String, Vec<String>>| controls.values().flatten().any(|one| one == wanted);
    let concerned: Vec<_> = match set.find(wanted) {
        Some(policy) => vec![policy],
        None => set.policies().iter().filter(|policy| names(&policy.controls)).collect(),
    };
    if concerned.is_empty() {
        note(&format!(
            "no policy has the id {wanted:?} or names it as a control; `weir policy coverage` lists them"
        ));
        return Ok(Outcome::No);
    }
    let mut controls: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for policy in concerned {
        for (framework, ids) in &policy.controls {
            for id in ids {
                controls.entry((framework, id)).or_default().insert(&policy.id);
            }
        }
    }
    if format == Format::Table {
        let mut table = output::table(&["framework", "control", "policies"]);
        for ((framework, control), policies) in &controls {
            let ids: Vec<_> = policies.iter().copied().collect();
            table.add_row([*framework, *control, &ids.join(" ")]);
        }
        output::print_table(&table, "the policy names no control");
    } else {
        let rows = controls.iter().map(|((framework, control), policies)| {
            json!({"framework": framework, "control": control, "policies": policies})
        });
        output::json(&rows.collect::<Vec<_>>())?;
    }
    Ok(Outcome::Done)
}
