//! Compiled and interpreted policies give the same answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Config, Document, Evaluator, Execution, PolicySet, Status, Surroundings, document::values};

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

#[test]
fn policies_of_others_are_compiled_where_they_stand_alone() {
    let policy = |name: &str, body: &str| format!("package {name}\n\n{body}\n");
    let bodies = BTreeMap::from([
        ("plain", ("deny contains \"a\" if input.bad", true)),
        (
            "helper",
            ("is_bad if input.bad\n\ndeny contains msg if {\n  is_bad\n  msg := upper(\"a\")\n}", true),
        ),
        (
            "every",
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
        let value = json!({"type": "test", "config": input, "bad": input["bad"], "list": input["list"], "n": input["n"]});
        Document::from_value(&value).expect("a resource")
    };
    let at = Surroundings { now_ns: Some(5), ..Surroundings::default() };
    for input in &inputs {
        let verdicts = |set: &PolicySet| Evaluator::new(set).evaluate(set, &document(input), &at, |_| true);
        assert_eq!(verdicts(&compiled), verdicts(&interpreted), "{input}");
    }
}

#[test]
fn a_compiled_policy_that_runs_away_is_cut_off() {
    let text = "package main\n\ndeny contains 1 if {\n  some a in input.n\n  some b in input.n\n  some c in input.n\n  \
                some d in input.n\n  a + b + c + d == -1\n}\n";
    let [compiled, _] = sets(&[("main.rego", text)]);
    assert!(compiled.policies()[0].is_compiled());
    let numbers: Vec<u32> = (0..400).collect();
    let document =
        Document::from_value(&json!({"type": "test", "config": {}, "n": numbers})).expect("a resource");
    let found = Evaluator::new(&compiled).evaluate(&compiled, &document, &Surroundings::default(), |_| true);
    assert_eq!(found.verdicts[0].status, Status::Error);
    assert!(found.verdicts[0].reasons[0].contains("cut off"), "{:?}", found.verdicts[0].reasons);
}
