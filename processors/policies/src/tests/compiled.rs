//! Compiled and interpreted policies give the same results.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use super::corpus::corpus;
use crate::{
    BuiltinErrors, Config, Document, Evaluator, Execution, Limits, PolicySet, RegoEngine, Status,
    Surroundings,
    compiled::{Compiled, Machine},
    document::values,
    policy::{Answer, Entry},
};

fn sets(files: &[(&str, &str)]) -> [PolicySet; 2] {
    [Execution::Compiled, Execution::Interpreted].map(|execution| {
        let set = PolicySet::load(files.iter().copied(), Config { execution, ..Config::default() });
        assert_eq!(set.faults(), []);
        set
    })
}

#[test]
fn weirs_own_policies_are_compiled_and_answer_every_case_as_interpreted_ones() {
    let [compiled, interpreted] = sets(&crate::own());
    let not_compiled: Vec<_> =
        compiled.policies().iter().filter(|policy| !policy.is_compiled()).map(|policy| &policy.id).collect();
    assert_eq!(not_compiled, Vec::<&String>::new());
    assert!(interpreted.policies().iter().all(|policy| !policy.is_compiled()));
    let (mut of_machine, mut of_interpreter) = (Evaluator::new(&compiled), Evaluator::new(&interpreted));
    let mut compared = 0;
    for (file, text) in &compiled.cases {
        let policy_file = file.replace(".tests.yaml", ".rego");
        for case in values(text).expect("a table")[0].as_array().expect("cases") {
            let document = if case["object"].is_object() { &case["object"] } else { case };
            let document = Document::from_value(document).expect("a document");
            let nothing = Surroundings::default();
            let one =
                of_machine.evaluate(&compiled, &document, &nothing, |policy| policy.file == policy_file);
            let other = of_interpreter
                .evaluate(&interpreted, &document, &nothing, |policy| policy.file == policy_file);
            assert_eq!(one, other, "{file}: {case}");
            compared += 1;
        }
    }
    assert!(compared > 1_000, "{compared}");
}

/// A document with one member of its configuration removed or replaced.
fn mutated(case: &Value, dice: &mut u64) -> Value {
    // SplitMix64, so that a failure can be repeated.
    let mut roll = |below: usize| {
        *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*dice ^ (*dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 27)) % 1_000_003).unwrap_or(0) % below
    };
    let mut case = case.clone();
    let part = ["object", "config"].into_iter().find(|name| case[*name].is_object());
    let mut at = &mut case[part.unwrap_or("config")];
    loop {
        let names: Vec<String> = at.as_object().map(|it| it.keys().cloned().collect()).unwrap_or_default();
        let is_part_of_its_kind = |name: &String| name == "apiVersion" || name == "kind";
        let Some(name) = (!names.is_empty()).then(|| names[roll(names.len())].clone()) else { break };
        if is_part_of_its_kind(&name) {
            break;
        }
        if at[&name].is_object() && roll(3) > 0 {
            at = &mut at[&name];
            continue;
        }
        let instead =
            [Value::Null, json!(true), json!(false), json!(""), json!("*"), json!(0), json!([]), json!({})];
        match roll(instead.len() + 1) {
            0 => drop(at.as_object_mut().map(|it| it.remove(&name))),
            n => at[&name] = instead[n - 1].clone(),
        }
        break;
    }
    case
}

#[test]
fn documents_that_nobody_thought_of_get_the_same_answers() {
    let [compiled, interpreted] = sets(&crate::own());
    let (mut of_machine, mut of_interpreter) = (Evaluator::new(&compiled), Evaluator::new(&interpreted));
    let (mut dice, mut compared) = (7, 0);
    for (file, text) in &compiled.cases {
        let policy_file = file.replace(".tests.yaml", ".rego");
        for case in values(text).expect("a table")[0].as_array().expect("cases") {
            let case = mutated(case, &mut dice);
            let document = if case["object"].is_object() { &case["object"] } else { &case };
            let Ok(document) = Document::from_value(document) else { continue };
            let nothing = Surroundings::default();
            let one =
                of_machine.evaluate(&compiled, &document, &nothing, |policy| policy.file == policy_file);
            let other = of_interpreter
                .evaluate(&interpreted, &document, &nothing, |policy| policy.file == policy_file);
            // The interpreter refuses to iterate over a text; for the machine, as for OPA, it has no elements.
            if other.verdicts.iter().all(|verdict| verdict.status != Status::Error) {
                assert_eq!(one, other, "{file}: {case}");
                compared += 1;
            }
        }
    }
    assert!(compared > 1_000, "{compared}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests read the corpus; policies read no files")]
fn rules_of_the_conformance_cases_that_can_be_compiled_have_the_same_values() {
    let Some(folder) = corpus("opa_conformance") else { return };
    let text = fs::read_to_string(folder.path().join("opa_conformance/v1_cases.jsonl")).expect("the cases");
    let (mut same, mut differing) = (0, Vec::new());
    for (number, line) in text.lines().enumerate() {
        let case: Value = serde_json::from_str(line).expect("a case");
        let [Value::String(module)] = case["modules"].as_array().map_or(&[][..], Vec::as_slice) else {
            continue;
        };
        let new = || RegoEngine::new(Limits::default(), BuiltinErrors::Undefined);
        let (mut interpreter, mut compiler) = (new(), new());
        let Ok(package) = interpreter.add_v1("m.rego", module) else { continue };
        let (rules, functions) = (interpreter.last_rules(), interpreter.last_functions());
        let data = if case["data"].is_object() { case["data"].clone() } else { json!({}) };
        let is_read = interpreter.seal().is_ok() && interpreter.add_data(data.clone().into()).is_ok();
        if !is_read
            || !interpreter.stands_alone(&package)
            || compiler.add_for_machine("m.rego", module).is_none()
        {
            continue;
        }
        let input = case.get("input").map_or(regorus::Value::Undefined, |input| input.clone().into());
        for path in rules.difference(&functions).map(|rule| format!("{package}.{rule}")) {
            let entry = [Entry { path: path.clone(), answer: Answer::Deny }];
            let Ok(wanted) = interpreter.rule(&path, input.clone()) else { continue };
            let Ok(modules) = compiler.compiled_policy(&path) else { continue };
            let Some(program) = Compiled::new(&modules, &entry) else { continue };
            let mut machine = Machine::new(&program, Limits::default());
            machine.data(data.clone().into());
            machine.input(input.clone());
            match machine.rule(&path) {
                Some(Ok(found)) if found != wanted => {
                    differing.push(format!("{number} {path}: {found}, not {wanted}"));
                }
                Some(Ok(_)) => same += 1,
                Some(Err(_)) | None => {}
            }
        }
    }
    assert_eq!(differing, [""; 0]);
    assert!(same > 700, "{same}");
}

#[test]
fn policies_of_others_are_compiled_where_they_stand_alone() {
    let policy = |name: &str, body: &str| format!("package {name}\n\nimport rego.v1\n\n{body}\n");
    let bodies = BTreeMap::from([
        ("plain", ("deny contains \"a\" if input.bad", true)),
        (
            "helper",
            ("is_bad if input.bad\n\ndeny contains msg if {\n  is_bad\n  msg := upper(\"a\")\n}", true),
        ),
        (
            "all_of",
            ("deny contains \"a\" if {\n  input.list\n  every x in input.list {\n    x > 1\n  }\n}", true),
        ),
        ("bounded", ("deny contains sprintf(\"%d\", [input.n])", false)),
        ("clock", ("deny contains \"late\" if time.now_ns() > input.n", false)),
        ("elsewhere", ("deny contains \"a\" if data.plain.deny[_]", false)),
    ]);
    let files: Vec<(String, String)> =
        bodies.iter().map(|(name, (body, _))| (format!("{name}.rego"), policy(name, body))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let [compiled, interpreted] = sets(&files);
    for policy in compiled.policies() {
        assert_eq!(policy.is_compiled(), bodies[policy.id.as_str()].1, "{}", policy.id);
    }
    let inputs = [
        json!({}),
        json!({"bad": true, "list": [2, 3], "n": 7}),
        json!({"bad": false, "list": [1], "n": -1}),
    ];
    let document = |input: &Value| {
        let mut plan = json!({"format_version": "1.2", "resource_changes": []});
        for name in ["bad", "list", "n"] {
            plan[name] = input[name].clone();
        }
        Document::from_value(&plan).expect("a plan")
    };
    let at = Surroundings { now_ns: Some(5), ..Surroundings::default() };
    for input in &inputs {
        let verdicts = |set: &PolicySet| Evaluator::new(set).evaluate(set, &document(input), &at, |_| true);
        assert_eq!(verdicts(&compiled), verdicts(&interpreted), "{input}");
        assert_eq!(verdicts(&compiled).verdicts.len(), bodies.len(), "{input}");
    }
}

#[test]
fn a_compiled_policy_that_runs_away_is_cut_off() {
    let text = "package main\n\ndeny contains 1 if {\n  some a in input.n\n  some b in input.n\n  some c in input.n\n  \
                some d in input.n\n  a + b + c + d == -1\n}\n";
    let [compiled, _] = sets(&[("main.rego", text)]);
    assert!(compiled.policies()[0].is_compiled());
    let numbers: Vec<u32> = (0..400).collect();
    let plan = json!({"format_version": "1.2", "resource_changes": [], "n": numbers});
    let document = Document::from_value(&plan).expect("a plan");
    let found = Evaluator::new(&compiled).evaluate(&compiled, &document, &Surroundings::default(), |_| true);
    assert_eq!(found.verdicts[0].status, Status::Error);
    assert!(found.verdicts[0].reasons[0].contains("cut off"), "{:?}", found.verdicts[0].reasons);
}
