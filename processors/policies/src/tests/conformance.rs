//! OPA's conformance cases for Rego v1.

use std::{collections::BTreeMap, fs};

use regorus::Value as Rego;
use serde_json::{Value, json};

use super::corpus::corpus;
use crate::{BuiltinErrors, EngineError, Limits, RegoEngine};

/// Minimum number of passing cases.
const LEAST: usize = 1_515;

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(values) => {
            let mut values: Vec<_> = values.iter().map(sorted).collect();
            values.sort_by_key(ToString::to_string);
            Value::Array(values)
        }
        Value::Object(members) => members.iter().map(|(name, below)| (name.clone(), sorted(below))).collect(),
        // 1 and 1.0 are one number.
        Value::Number(number) => json!(number.as_f64()),
        other => other.clone(),
    }
}

fn answer(case: &Value) -> Result<Value, EngineError> {
    let errors = if case["strict_error"] == true { BuiltinErrors::Strict } else { BuiltinErrors::Undefined };
    let mut engine = RegoEngine::new(Limits::default(), errors);
    for (number, module) in case["modules"].as_array().into_iter().flatten().enumerate() {
        engine.add_v1(&format!("module-{number}.rego"), module.as_str().unwrap_or_default())?;
    }
    engine.seal()?;
    if case["data"].is_object() {
        engine.add_data(case["data"].clone().into())?;
    }
    let input = match (case.get("input"), case["input_term"].as_str()) {
        (Some(input), _) => input.clone().into(),
        (None, Some(term)) => {
            let mut other = RegoEngine::new(Limits::default(), errors);
            let found = other.query(&format!("x = {term}"), Rego::Undefined)?;
            let found =
                found.result.first().and_then(|one| one.bindings.as_object().ok()?.get(&"x".into()).cloned());
            found.unwrap_or(Rego::Undefined)
        }
        (None, None) => Rego::Undefined,
    };
    let found = engine.query(case["query"].as_str().unwrap_or_default(), input)?;
    let bindings = found.result.iter().map(|one| {
        let text = one.bindings.to_json_str().unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    });
    Ok(bindings.collect())
}

/// The reason why the case fails.
fn judge(case: &Value) -> Option<&'static str> {
    let wants_error = ["want_error", "want_error_code"].iter().any(|name| case.get(*name).is_some());
    match (answer(case), case.get("want_result")) {
        (Ok(found), Some(wanted)) if sorted(&found) == sorted(wanted) => None,
        (Ok(_), Some(_)) => Some("another result"),
        (Err(_), _) if wants_error => None,
        (Ok(_), None) => Some("an error is wanted"),
        (Err(EngineError::Rego { reason, .. }), _) if reason.contains("is unknown") => {
            Some("an unknown function")
        }
        (Err(_), _) => Some("an error instead of a result"),
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests read the corpus; policies read no files")]
#[expect(clippy::print_stderr, reason = "whoever runs the tests should see what does not hold, and why")]
fn most_cases_hold_and_the_rest_is_listed() {
    let Some(folder) = corpus("opa_conformance") else { return };
    let text = fs::read_to_string(folder.path().join("opa_conformance/v1_cases.jsonl")).expect("the cases");
    let (mut held, mut rest) = (0, BTreeMap::<_, BTreeMap<String, usize>>::new());
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("a case");
        match judge(&case) {
            None => held += 1,
            Some(reason) => {
                let folder =
                    case["file"].as_str().and_then(|file| file.split('/').nth(1)).unwrap_or_default();
                *rest.entry(reason).or_default().entry(folder.to_owned()).or_default() += 1;
            }
        }
    }
    for (reason, folders) in &rest {
        let count: usize = folders.values().sum();
        let folders: Vec<_> = folders.iter().map(|(folder, count)| format!("{folder} {count}")).collect();
        eprintln!("{count} {reason}: {}", folders.join(", "));
    }
    assert!(held >= LEAST, "{held} cases hold");
    eprintln!("{held} of {} cases hold", text.lines().count());
}
