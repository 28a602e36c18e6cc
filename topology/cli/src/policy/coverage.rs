//! `weir policy coverage`: controls with policies, and resources without.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::Args;
use policies::PolicySet;
use serde_json::json;

use super::{
    WhichPolicies,
    evaluate::{self, Read},
};
use crate::{
    Outcome,
    output::{self, Format, note},
};

/// Arguments of `weir policy coverage`.
#[derive(Debug, Args)]
pub(super) struct CoverageArgs {
    /// Plans, Kubernetes objects, or folders of them; without any, the controls of frameworks are shown.
    paths: Vec<PathBuf>,
    #[command(flatten)]
    policies: WhichPolicies,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(super) fn coverage(args: &CoverageArgs) -> anyhow::Result<Outcome> {
    let (set, files) = args.policies.read()?;
    files.warn_about(set.faults());
    if args.paths.is_empty() { controls(&set, args.output) } else { resources(&set, args) }
}

fn controls(set: &PolicySet, format: Format) -> anyhow::Result<Outcome> {
    let mut found: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for policy in set.policies() {
        for (framework, controls) in &policy.controls {
            for control in controls {
                found.entry((framework, control)).or_default().insert(&policy.id);
            }
        }
    }
    if format == Format::Table {
        let mut table = output::table(&["framework", "control", "policies"]);
        for ((framework, control), policies) in &found {
            table.add_row([*framework, *control, &policies.len().to_string()]);
        }
        output::print_table(&table, "no policy names controls");
    } else {
        let rows = found.iter().map(|((framework, control), policies)| {
            json!({"framework": framework, "control": control, "policies": policies})
        });
        output::json(&rows.collect::<Vec<_>>())?;
    }
    Ok(Outcome::Done)
}

fn resources(set: &PolicySet, args: &CoverageArgs) -> anyhow::Result<Outcome> {
    let Read { documents, refused } = evaluate::documents(&args.paths)?;
    for reason in &refused {
        note(reason);
    }
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for subject in documents.iter().flat_map(|(_, document)| &document.subjects) {
        let policies = set.policies().iter().filter(|policy| policy.resource_types.contains(&subject.kind));
        let (resources, judging) = kinds.entry(&subject.kind).or_default();
        *resources += 1;
        *judging = policies.count();
    }
    let judged =
        kinds.values().filter(|(_, judging)| *judging > 0).map(|(resources, _)| resources).sum::<usize>();
    let all = kinds.values().map(|(resources, _)| resources).sum::<usize>();
    if args.output == Format::Table {
        let mut table = output::table(&["type", "resources", "policies"]);
        for (kind, (resources, judging)) in &kinds {
            table.add_row([*kind, &resources.to_string(), &judging.to_string()]);
        }
        output::print_table(&table, "the documents hold no resources");
        note(&format!("{judged} of {all} resources are judged"));
    } else {
        let rows = kinds.iter().map(|(kind, (resources, judging))| {
            json!({"resource_type": kind, "resources": resources, "policies": judging})
        });
        output::json(
            &json!({"types": rows.collect::<Vec<_>>(), "resources": all, "judged": judged, "refused": refused}),
        )?;
    }
    Ok(if refused.is_empty() { Outcome::Done } else { Outcome::Usage })
}
