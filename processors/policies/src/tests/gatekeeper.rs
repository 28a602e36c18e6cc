//! Gatekeeper's library of templates: its test cases, and the Rego tests beside its sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::corpus::{corpus, files};
use crate::{
    BuiltinErrors, Config, Document, Evaluator, Limits, PolicySet, RegoEngine, Status, Surroundings,
    gatekeeper,
};

/// Tests in the library's sources, with the 11 of its own libraries.
const TESTS: usize = 679;

#[expect(clippy::disallowed_methods, reason = "tests read the corpus; policies read no files")]
fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("a file of the set")
}

fn case(folder: &Path, case: &Value) -> Result<(), String> {
    let file = |name: &str| case[name].as_str().map(|path| (path.to_owned(), text(&folder.join(path))));
    let policies: Vec<_> = ["template", "constraint"].into_iter().filter_map(file).collect();
    let set = PolicySet::load(
        policies.iter().map(|(name, text)| (name.as_str(), text.as_str())),
        Config::default(),
    );
    if !set.faults().is_empty() {
        return Err(format!("faults: {:?}", set.faults()));
    }
    let objects = case["inventory"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let objects: Vec<Value> = objects
        .flat_map(|path| crate::document::values(&text(&folder.join(path))).expect("objects"))
        .collect();
    let surroundings =
        Surroundings { inventory: Some(gatekeeper::inventory(&objects)), ..Surroundings::default() };
    let object = case["object"].as_str().expect("an object");
    let documents = Document::read(&text(&folder.join(object))).map_err(|refused| refused.to_string())?;
    let mut evaluator = Evaluator::new(&set);
    let mut reasons = Vec::new();
    for document in &documents {
        for verdict in evaluator.evaluate(&set, document, &surroundings, |_| true).verdicts {
            match verdict.status {
                Status::Pass => {}
                Status::Fail => reasons.extend(verdict.reasons),
                Status::Error | Status::NotEvaluated => return Err(verdict.reasons.join("; ")),
            }
        }
    }
    let violates = !reasons.is_empty();
    if Some(violates) != case["violates"].as_bool() {
        return Err(format!("violates: {violates}, {reasons:?}"));
    }
    match case["count"].as_u64() {
        Some(count) if usize::try_from(count).ok() != Some(reasons.len()) => Err(format!("{reasons:?}")),
        _ => Ok(()),
    }
}

#[test]
fn every_case_of_the_library_has_its_verdict() {
    let Some(folder) = corpus("gatekeeper") else { return };
    let folder = folder.path().join("gatekeeper");
    let cases = text(&folder.join("expected.jsonl"));
    let cases: Vec<Value> = cases.lines().map(|line| serde_json::from_str(line).expect("a case")).collect();
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|one| case(&folder, one).err().map(|error| format!("{}: {error}", one["case"])))
        .collect();
    assert_eq!((cases.len() - wrong.len(), wrong.join("\n")), (141, String::new()));
}

#[test]
fn the_tests_beside_its_sources_hold() {
    let Some(folder) = corpus("gatekeeper") else { return };
    let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for file in files(&folder.path().join("gatekeeper/src"), "rego") {
        folders.entry(file.parent().expect("a folder").to_owned()).or_default().push(file);
    }
    let (mut held, mut wrong) = (0, Vec::new());
    for (folder, files) in &folders {
        let mut engine = RegoEngine::new(Limits::default(), BuiltinErrors::Undefined);
        let mut tests = Vec::new();
        for file in files {
            let name = file.to_string_lossy();
            match engine.add_v0(&name, &text(file)) {
                Ok(package) => {
                    let rules = engine.last_rules();
                    let named = rules.iter().filter(|rule| rule.starts_with("test_"));
                    tests.extend(named.map(|rule| format!("{package}.{rule}")));
                }
                Err(error) => wrong.push(format!("{name}: {error}")),
            }
        }
        if let Err(error) = engine.seal() {
            wrong.push(format!("{}: {error}", folder.display()));
        }
        for test in tests {
            match engine.rule(&test, regorus::Value::Undefined) {
                Ok(regorus::Value::Bool(true)) => held += 1,
                other => wrong.push(format!("{test}: {other:?}")),
            }
        }
    }
    assert_eq!((held, wrong.join("\n")), (TESTS, String::new()));
}
