//! `weir policy evaluate`: plans and Kubernetes objects against policies.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};
use policies::{
    Decision, Document, DocumentKind, Evaluator, Policy, PolicySet, Severity, Status, Surroundings, Verdict,
    gatekeeper,
};
use serde_json::{Value, json};

use super::{
    WhichPolicies, formats,
    load::{self, files_below},
};
use crate::{
    Outcome,
    output::{self, note},
};

/// Arguments of `weir policy evaluate`.
#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// Plans (`terraform show -json`), Kubernetes objects and AdmissionReviews in JSON or YAML, folders of them, or `-`.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    policies: WhichPolicies,
    /// Only the policy with this id; may be repeated.
    #[arg(long, value_name = "ID")]
    policy: Vec<String>,
    /// Only policies of this severity or a graver one.
    #[arg(long, value_enum)]
    severity: Option<LeastSeverity>,
    /// The decision from which on the command exits with 1.
    #[arg(long, value_enum, default_value_t = FailOn::Deny)]
    fail_on: FailOn,
    /// Passed policies, too.
    #[arg(long)]
    all: bool,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit's XML, for test reports.
    Junit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A policy denies.
    Deny,
    /// A policy denies or warns, or could not be evaluated, or a plan is not complete.
    Warn,
    /// Never.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LeastSeverity {
    Low,
    Medium,
    High,
    Critical,
}

impl LeastSeverity {
    fn severity(self) -> Severity {
        match self {
            Self::Low => Severity::Low,
            Self::Medium => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }
}

/// The verdicts about one file.
pub(super) struct Judged {
    /// The file's path.
    pub(super) file: String,
    /// The verdicts about its documents.
    pub(super) verdicts: Vec<Verdict>,
}

pub(super) fn evaluate(args: &EvaluateArgs) -> anyhow::Result<Outcome> {
    let (set, files) = args.policies.read()?;
    files.warn_about(set.faults());
    if let Some(id) = args.policy.iter().find(|id| set.find(id).is_none()) {
        bail!("no usable policy has the id {id:?}; `weir policy list` shows them");
    }
    ensure!(
        set.policies().iter().any(|policy| wanted(args, policy)),
        "there is no policy to judge by, and so no decision; `weir policy check` names what is wrong with a folder, \
         `weir policy list` shows policies"
    );
    let Read { documents, refused } = documents(&args.paths)?;
    for reason in &refused {
        note(reason);
    }
    if documents.is_empty() {
        // Without a document there is no decision.
        return Ok(Outcome::Usage);
    }
    let judged = judge(&set, &documents, args);
    let verdicts: Vec<&Verdict> = judged.iter().flat_map(|one| &one.verdicts).collect();
    let decision = Decision::from_verdicts(verdicts.iter().copied());
    let decision = documents.iter().fold(decision, |decision, (_, document)| decision.on(document));
    let incomplete: Vec<String> = documents
        .iter()
        .filter_map(|(file, document)| Some(format!("{file}: {}", document.incomplete()?)))
        .collect();
    for reason in &incomplete {
        note(reason);
    }
    match args.output {
        Form::Table => table(args, &set, &judged, decision),
        Form::Json => output::json(&json!({
            "decision": decision, "policy_set": set.hash(), "refused": refused, "faults": set.faults(),
            "counts": counts(&verdicts), "incomplete": incomplete,
            "documents": judged.iter().map(|one| {
                json!({"file": one.file, "verdicts": shown(one, args.all).collect::<Vec<_>>()})
            }).collect::<Vec<_>>(),
        }))?,
        Form::Sarif => output::json(&formats::sarif(&set, &judged))?,
        Form::Junit => output::line(&formats::junit(&judged)),
    }
    if !refused.is_empty() {
        return Ok(Outcome::Usage);
    }
    let fails = match args.fail_on {
        FailOn::Deny => decision == Decision::Deny,
        FailOn::Warn => decision >= Decision::Warn,
        FailOn::Never => false,
    };
    Ok(if fails { Outcome::No } else { Outcome::Done })
}

/// The documents that a command was given.
pub(super) struct Read {
    /// Documents with their files.
    pub(super) documents: Vec<(String, Document)>,
    /// Files that are no documents, with the reason.
    pub(super) refused: Vec<String>,
}

/// The documents of files and folders by path, and the reasons why some are refused. In a folder, files that are of
/// another kind as a whole are passed over and named; a file that cannot be read or parsed, or holds other documents
/// beside good ones, is refused there as well.
pub(super) fn documents(paths: &[PathBuf]) -> anyhow::Result<Read> {
    let (mut found, mut refused) = (Vec::<(String, Document)>::new(), Vec::new());
    for path in paths {
        let is_folder = path.is_dir();
        let files = if is_folder { files_below(path, &["json", "yaml", "yml"])? } else { vec![path.clone()] };
        for file in files {
            let name = file.display().to_string();
            let read = load::document(&file)
                .and_then(|text| Document::read_each(&text).map_err(|refused| refused.to_string()));
            let each = match read {
                Ok(each) => each,
                Err(reason) => {
                    refused.push(format!("{name}: {reason}"));
                    continue;
                }
            };
            let is_foreign = is_folder && each.iter().all(Result::is_err);
            let of_several = each.len() > 1;
            for (nth, document) in each.into_iter().enumerate() {
                match document {
                    Ok(document) => found.push((name.clone(), document)),
                    Err(reason) if is_foreign => {
                        note(&format!("passed over {name}: {reason}"));
                        break;
                    }
                    Err(reason) if of_several => {
                        refused.push(format!("{name}: document {}: {reason}", nth + 1));
                    }
                    Err(reason) => refused.push(format!("{name}: {reason}")),
                }
            }
        }
        if is_folder && !found.iter().any(|(name, _)| Path::new(name).starts_with(path)) {
            refused.push(format!("{}: the folder holds no plan and no Kubernetes object", path.display()));
        }
    }
    Ok(Read { documents: found, refused })
}

/// Whether the arguments ask for the policy.
fn wanted(args: &EvaluateArgs, policy: &Policy) -> bool {
    (args.policy.is_empty() || args.policy.iter().any(|id| policy.id.eq_ignore_ascii_case(id)))
        && args.severity.is_none_or(|least| policy.severity >= least.severity())
}

fn judge(set: &PolicySet, documents: &[(String, Document)], args: &EvaluateArgs) -> Vec<Judged> {
    let objects: Vec<&Value> = documents
        .iter()
        .filter(|(_, document)| document.kind == DocumentKind::Kubernetes)
        .flat_map(|(_, document)| &document.subjects)
        .filter_map(|subject| subject.review.as_ref().map(|review| &review["object"]))
        .collect();
    let surroundings = Surroundings {
        inventory: (objects.len() > 1).then(|| gatekeeper::inventory(objects)),
        ..Surroundings::default()
    };
    let mut evaluator = Evaluator::new(set);
    let mut judged: Vec<Judged> = Vec::new();
    for (file, document) in documents {
        let verdicts =
            evaluator.evaluate(set, document, &surroundings, |policy| wanted(args, policy)).verdicts;
        match judged.last_mut() {
            Some(last) if last.file == *file => last.verdicts.extend(verdicts),
            _ => judged.push(Judged { file: file.clone(), verdicts }),
        }
    }
    judged
}

fn shown(judged: &Judged, all: bool) -> impl Iterator<Item = &Verdict> {
    judged.verdicts.iter().filter(move |verdict| all || verdict.status != Status::Pass)
}

fn counts(verdicts: &[&Verdict]) -> Value {
    let count = |status: Status| verdicts.iter().filter(|verdict| verdict.status == status).count();
    json!({
        "pass": count(Status::Pass), "fail": count(Status::Fail),
        "not_evaluated": count(Status::NotEvaluated), "error": count(Status::Error),
    })
}

fn table(args: &EvaluateArgs, set: &PolicySet, judged: &[Judged], decision: Decision) {
    let mut table = output::table(&["verdict", "severity", "resource", "policy", "reason"]);
    for (one, verdict) in
        judged.iter().flat_map(|one| shown(one, args.all).map(move |verdict| (one, verdict)))
    {
        let resource = if verdict.resource.is_empty() { &one.file } else { &verdict.resource };
        table.add_row([
            verdict.status.name(),
            verdict.severity.name(),
            resource,
            &verdict.policy_id,
            &verdict.reasons.join("; "),
        ]);
    }
    if table.row_count() > 0 {
        output::line(&table.trim_fmt());
    }
    let verdicts: Vec<_> = judged.iter().flat_map(|one| &one.verdicts).collect();
    let counts = counts(&verdicts);
    let resources: BTreeSet<_> = verdicts.iter().map(|verdict| &verdict.resource).collect();
    output::line(&format!(
        "{}: {} failed, {} passed, {} not evaluated, {} errors; {} resources, {} policies",
        decision.name(),
        counts["fail"],
        counts["pass"],
        counts["not_evaluated"],
        counts["error"],
        resources.len(),
        set.policies().len(),
    ));
    if verdicts.is_empty() {
        note("no policy concerns these documents; `weir policy coverage` shows which types are judged");
    } else if decision == Decision::Deny {
        note("`weir policy explain ID` says what to change");
    }
}
