//! The policies that modules and constraints declare.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::{
    Metadata, Policy, Severity,
    gatekeeper::{Constraint, Template},
    paths,
    policy::{Answer, Entry, Form},
    set::hexadecimal,
};

/// Package of Weir's library.
const LIBRARY: &str = "data.weir.lib";

/// A parsed module.
pub(crate) struct Module<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    pub(crate) package: String,
    pub(crate) rules: BTreeSet<String>,
    pub(crate) metadata: Option<Metadata>,
}

/// The rules of a module that return results.
pub(crate) fn entries(module: &Module<'_>) -> Vec<Entry> {
    let is_named = |rule: &str, name: &str| {
        rule.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    let answer_of = |rule: &String| {
        let denies = ["deny", "violation"].iter().any(|name| is_named(rule, name));
        let answer = match () {
            () if denies => Answer::Deny,
            () if is_named(rule, "warn") => Answer::Warn,
            () if rule == "not_evaluated" => Answer::NotEvaluated,
            () if rule == "applies" => Answer::Applies,
            () => return None,
        };
        Some(Entry { path: format!("{}.{rule}", module.package), answer })
    };
    let mut found: Vec<_> = module.rules.iter().filter_map(answer_of).collect();
    let decides = found.iter().any(|entry| matches!(entry.answer, Answer::Deny | Answer::Warn));
    if !decides {
        found.clear();
        if module.metadata.is_some() && module.rules.contains("allow") {
            found.push(Entry { path: format!("{}.allow", module.package), answer: Answer::Allow });
        }
    }
    found
}

/// The policies of compiled modules: one for each package with rules that return results.
pub(crate) fn policies(modules: &[Module<'_>], engine: usize) -> Vec<Policy> {
    let (mut libraries, mut of_libraries) = (Sha256::new(), BTreeSet::new());
    for module in modules.iter().filter(|module| entries(module).is_empty()) {
        libraries.update(Sha256::digest(module.text));
        of_libraries.extend(paths::first_arguments(module.text));
    }
    let libraries = libraries.finalize();
    let mut packages: BTreeMap<&str, Vec<&Module<'_>>> = BTreeMap::new();
    for module in modules {
        packages.entry(&module.package).or_default().push(module);
    }
    let answering =
        packages.into_iter().filter(|(_, parts)| parts.iter().any(|part| !entries(part).is_empty()));
    answering
        .map(|(package, parts)| {
            let mut digest = Sha256::new();
            for part in &parts {
                digest.update(Sha256::digest(part.text));
            }
            digest.update(libraries);
            let metadata = parts.iter().find_map(|part| part.metadata.clone()).unwrap_or_default();
            let name = package.strip_prefix("data.").unwrap_or(package);
            let mut entries: Vec<_> = parts.iter().flat_map(|part| entries(part)).collect();
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            entries.dedup_by(|a, b| a.path == b.path);
            let first = parts.iter().find(|part| part.metadata.is_some()).unwrap_or(&parts[0]);
            Policy {
                id: metadata.id.unwrap_or_else(|| name.to_owned()),
                title: if metadata.title.is_empty() { name.to_owned() } else { metadata.title },
                description: metadata.description,
                severity: metadata.severity.unwrap_or(Severity::Medium),
                remediation: metadata.remediation,
                form: if metadata.resource_types.is_empty() { Form::Whole } else { Form::Resource },
                resource_types: metadata.resource_types,
                decides: metadata.decides,
                denies_what_is_present: metadata.denies_what_is_present,
                controls: metadata.controls,
                file: first.file.to_owned(),
                hash: hexadecimal(&digest.finalize()),
                reads_others: parts.iter().any(|part| reads_others(part.text)),
                paths: read_paths(&parts, &of_libraries),
                entries,
                engine,
                compiled: None,
            }
        })
        .collect()
}

/// The paths that a policy passes to Weir's library, and those that the library reads; none without the library.
fn read_paths(parts: &[&Module<'_>], of_libraries: &BTreeSet<String>) -> BTreeSet<String> {
    if !parts.iter().any(|part| part.text.contains(LIBRARY)) {
        return BTreeSet::new();
    }
    parts.iter().flat_map(|part| paths::literals(part.text)).chain(of_libraries.iter().cloned()).collect()
}

/// Whether a module reads resources other than the evaluated one, directly or through library functions.
fn reads_others(text: &str) -> bool {
    ["input.resources", "lib.resources(", "lib.related("].iter().any(|call| text.contains(call))
}

pub(crate) fn constrained(
    file: &str,
    constraint: Constraint,
    template: &(usize, String, Template),
) -> Policy {
    let (engine, package, template) = template;
    let mut digest = Sha256::new();
    digest.update(Sha256::digest(&template.rego));
    for library in &template.libraries {
        digest.update(Sha256::digest(library));
    }
    digest.update(constraint.fingerprint());
    let title = if template.title.is_empty() { &template.kind } else { &template.title };
    Policy {
        id: format!("{}/{}", constraint.kind, constraint.name),
        title: title.clone(),
        description: template.description.clone(),
        severity: Severity::Medium,
        remediation: String::new(),
        resource_types: BTreeSet::new(),
        decides: Vec::new(),
        denies_what_is_present: true,
        controls: BTreeMap::new(),
        file: file.to_owned(),
        hash: hexadecimal(&digest.finalize()),
        reads_others: template.reads_inventory(),
        paths: BTreeSet::new(),
        entries: vec![Entry { path: format!("{package}.violation"), answer: Answer::Deny }],
        engine: *engine,
        compiled: None,
        form: Form::Constraint(Box::new(constraint)),
    }
}
