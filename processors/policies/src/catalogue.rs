//! The catalogue of a set as Markdown: one table for each folder.

use std::collections::BTreeMap;

use crate::{Policy, PolicySet};

/// Maximum number of resource types in a row.
const MAX_TYPES: usize = 4;

/// The policies of a set as Markdown.
pub fn catalogue(set: &PolicySet) -> String {
    let mut folders: BTreeMap<&str, Vec<&Policy>> = BTreeMap::new();
    for policy in set.policies() {
        let folder = policy.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        folders.entry(folder).or_default().push(policy);
    }
    let mut lines = vec![
        "# Policies".to_owned(),
        String::new(),
        "Written by `weir policy catalogue`; a test holds it to the policies. The controls that each is evidence for \
         stand in its file."
            .to_owned(),
    ];
    for (folder, policies) in folders {
        let head = [
            "",
            &format!("## {folder}"),
            "",
            "| policy | severity | judges | demands |",
            "|---|---|---|---|",
        ];
        lines.extend(head.map(ToOwned::to_owned));
        lines.extend(policies.into_iter().map(row));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn row(policy: &Policy) -> String {
    let named = policy.resource_types.iter().take(MAX_TYPES).map(|kind| format!("`{kind}`"));
    let mut types = named.collect::<Vec<_>>().join(", ");
    if let Some(more) = policy.resource_types.len().checked_sub(MAX_TYPES).filter(|more| *more > 0) {
        types = format!("{types} and {more} more");
    }
    format!("| `{}` | {} | {types} | {} |", policy.id, policy.severity.name(), policy.title)
}
