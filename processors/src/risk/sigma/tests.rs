//! Rules of our own for what the specification says; the public rules against their expected hits.
#![expect(clippy::disallowed_methods, reason = "tests read the corpus; processors read no files")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::{RuleProblem, SigmaEngine};
use crate::{
    risk::rules::{EXAMPLES_SUFFIX, own},
    tests::corpus::{corpus, files},
};

/// A CloudTrail rule with that `detection`, its lines indented by four.
fn rule(detection: &str) -> String {
    let logsource = "logsource:\n    product: aws\n    service: cloudtrail\n";
    format!(
        "title: A rule\nid: 0d1f4a4e-7f0c-4b6e-9d5a-1b2c3d4e5f60\n{logsource}detection:\n{detection}level: high\n"
    )
}

/// Whether a rule with that detection fires on the record.
#[track_caller]
fn check(detection: &str, record: &Value, fires: bool) {
    let (engine, problems) = SigmaEngine::load([("rule.yml", rule(detection))]);
    assert_eq!(problems, Vec::<RuleProblem>::new());
    let hits = engine.evaluate("aws.cloudtrail", &record.to_string()).expect("JSON");
    assert_eq!(!hits.is_empty(), fires, "{detection}\non {record}");
}

/// A detection of one selection with those lines.
fn selection(lines: &str) -> String {
    let lines = lines.replace('\n', "\n        ");
    format!("    selection:\n        {lines}\n    condition: selection\n")
}

#[test]
fn values_compare_without_case_and_field_names_with_it() {
    let record = json!({"eventName": "CreateUser", "userIdentity": {"type": "Root"}});
    check(&selection("eventName: createuser"), &record, true);
    check(&selection("eventname: CreateUser"), &record, false);
    check(&selection("userIdentity.type: root"), &record, true);
    check(&selection("useridentity.type: root"), &record, false);
}

#[test]
fn an_object_is_its_json_text() {
    let record = json!({"requestParameters": {"VersioningConfiguration": {"Status": "Suspended"}, "n": [1, {"a": "b"}]}});
    check(&selection("requestParameters|contains: 'suspended'"), &record, true);
    check(&selection("requestParameters|contains: '\"a\":\"b\"'"), &record, true);
    check(&selection("requestParameters|contains: 'enabled'"), &record, false);
}

#[test]
fn a_list_matches_by_any_element() {
    let record = json!({"groups": ["users", "system:masters"], "items": [{"port": 22}, {"port": 443}]});
    check(&selection("groups: system:masters"), &record, true);
    check(&selection("items.port: 443"), &record, true);
    check(&selection("items.port: 80"), &record, false);
}

#[test]
fn null_is_neither_absent_nor_text() {
    let record = json!({"errorCode": null, "name": "null"});
    check(&selection("errorCode: null"), &record, true);
    check(&selection("name: null"), &record, false);
    check(&selection("name|exists: true"), &record, true);
    check(&selection("other|exists: true"), &record, false);
}

#[test]
fn modifiers_and_conditions_of_the_specification() {
    let record = json!({"eventName": "PutRolePolicy", "sourceIPAddress": "192.0.2.7", "bytes": 4096, "agent": "aws-cli/2.1"});
    check(&selection("eventName|startswith: putrole"), &record, true);
    check(&selection("eventName|endswith: POLICY"), &record, true);
    check(&selection("eventName|re: '^Put(User|Role)Policy$'"), &record, true);
    check(&selection("eventName|re: '^put'"), &record, false);
    check(&selection("sourceIPAddress|cidr: 192.0.2.0/24"), &record, true);
    check(&selection("bytes|gte: 4096"), &record, true);
    check(&selection("agent|contains|all:\n    - aws\n    - '2.'"), &record, true);
    check(&selection("eventName: Put*Policy"), &record, true);
    check(&selection("eventName|cased: putrolepolicy"), &record, false);
    let not =
        "    selection:\n        eventName: PutRolePolicy\n    filter_a:\n        agent|contains: cli\n";
    check(&format!("{not}    condition: selection and not 1 of filter_*\n"), &record, false);
    check(&format!("{not}    condition: all of them\n"), &record, true);
    check("    keywords:\n        - 'rolePOL'\n    condition: keywords\n", &record, true);
}

#[test]
fn encodings_and_references() {
    let record = json!({
        "userName": "ada", "accessKey": {"userName": "ada"}, "target": "eve", "flag": true, "port": "443",
        "userData": "Y3VybCBodHRwczovL2V4YW1wbGU=", "command": "runner \u{2013}force", "empty": "", "list": [],
    });
    check(&selection("userName|fieldref: accessKey.userName"), &record, true);
    check(&selection("userName|fieldref: target"), &record, false);
    check(&selection("userName|fieldref: nowhere"), &record, false);
    check(&selection("userData|base64offset|contains: 'https://'"), &record, true);
    check(&selection("userData|base64offset|contains: 'ftp://'"), &record, false);
    check(&selection("userData|base64offset|contains|all:\n    - 'curl'\n    - 'example'"), &record, true);
    check(&selection("userData|base64offset|contains|all:\n    - 'curl'\n    - 'wget'"), &record, false);
    check(&selection("command|windash|contains: ' -force'"), &record, true);
    check(&selection("flag: true"), &record, true);
    check(&selection("port: 443"), &record, true);
    check(&selection("port|lt: 1024"), &record, true);
    check(&selection("empty: ''"), &record, true);
    check(&selection("list|exists: true"), &record, true);
    check(&selection("userName|re|i: '^ADA$'"), &record, true);
    check(
        "    one:\n        userName: ada\n    two:\n        target: ada\n    condition: 1 of them\n",
        &record,
        true,
    );
    check("    one:\n        - userName: eve\n        - target: eve\n    condition: one\n", &record, true);
}

#[test]
fn what_cannot_be_used_is_reported_and_the_rest_runs() {
    let good = rule(&selection("eventName: CreateUser"));
    let regex = rule(&selection("eventName|re: '('"));
    let source = good.replace("cloudtrail", "vpcflow");
    let files = [
        ("good.yml", good.as_str()),
        ("regex.yml", &regex),
        ("source.yml", &source),
        ("cut.yml", "title: [\n"),
        ("modifier.yml", &good.replace("eventName:", "eventName|frobnicate:")),
        ("empty.yml", ""),
    ];
    let (engine, problems) = SigmaEngine::load(files);
    assert_eq!(engine.rules().count(), 1);
    let mut named: Vec<&str> = problems.iter().map(|problem| problem.file.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, ["cut.yml", "empty.yml", "modifier.yml", "regex.yml", "source.yml"], "{problems:#?}");
    assert_eq!(
        problems.iter().find(|problem| problem.file == "source.yml").and_then(|problem| problem.line),
        Some(3)
    );
    let hits = engine.evaluate("aws.cloudtrail", r#"{"eventName":"CreateUser"}"#).expect("JSON");
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].rule.level.name(), "high");
    assert_eq!(hits[0].matched[0].field, "eventName");
    assert_eq!(hits[0].matched[0].value, "CreateUser");
}

#[test]
fn a_record_that_is_no_json_or_too_deep_is_an_error() {
    let (engine, _) = SigmaEngine::load([("rule.yml", rule(&selection("eventName: CreateUser")))]);
    assert!(engine.evaluate("aws.cloudtrail", "{\"eventName\":").is_err());
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(engine.evaluate("aws.cloudtrail", &deep).is_err());
    assert!(engine.evaluate("somebody's own", "no JSON").expect("no rule reads it").is_empty());
}

/// The example events of Weir's own rules.
fn examples() -> Vec<Value> {
    let mut found = Vec::new();
    for (name, text) in own().into_iter().filter(|(name, _)| name.ends_with(EXAMPLES_SUFFIX)) {
        let examples: Value = serde_saphyr::from_str(text).expect(name);
        let lists = ["positive", "negative"].map(|kind| examples[kind].as_array().expect("a list"));
        found.extend(lists.into_iter().flatten().map(|example| example["event"].clone()));
    }
    found
}

/// The index leaves out no rule that fires, and adds none.
fn assert_index_is_right(engine: &SigmaEngine, record: &Value) {
    let formats: BTreeSet<_> = engine.rules().map(|(format, _)| format).collect();
    for format in formats {
        let indexed: Vec<_> =
            engine.evaluate_record(format, record).iter().map(|hit| hit.rule.id.as_str()).collect();
        let each: Vec<_> = engine.evaluate_each(format, record).iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(indexed, each, "{format}: {record}");
    }
}

#[test]
fn the_index_answers_as_every_rule_by_itself_does() {
    let own = own().into_iter().filter(|(name, _)| !name.ends_with(EXAMPLES_SUFFIX));
    let (engine, _) = SigmaEngine::load(own);
    let examples = examples();
    assert!(examples.len() > 400);
    for record in &examples {
        assert_index_is_right(&engine, record);
    }
    // Records that take each field from one of two examples, or a list of both.
    let some = (0..examples.len(), 0..examples.len(), any::<u64>());
    proptest!(ProptestConfig::with_cases(300), |((one, other, from) in some)| {
        let (Value::Object(mut record), Value::Object(other)) = (examples[one].clone(), examples[other].clone())
        else { return Ok(()) };
        for (number, (field, value)) in other.into_iter().enumerate() {
            match (from >> (2 * (number % 32))) & 3 {
                0 => drop(record.insert(field, value)),
                1 => {
                    let known = record.remove(&field).unwrap_or_default();
                    record.insert(field, json!([known, value]));
                }
                _ => {}
            }
        }
        assert_index_is_right(&engine, &Value::Object(record));
    });
}

/// The public rules, all of which must load.
fn public_rules(corpus: &Path) -> SigmaEngine {
    let rules = files(&corpus.join("sigma/rules"), "yml").into_iter().map(|path| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        (name, fs::read_to_string(path).expect("readable"))
    });
    let (engine, problems) = SigmaEngine::load(rules);
    assert_eq!(problems, Vec::<RuleProblem>::new(), "public rules load unchanged");
    assert_eq!(engine.rules().count(), 109);
    assert!(engine.rules().all(|(_, rule)| rule.author.is_some()), "outputs name every author");
    engine
}

/// Hits by rule file: the count, and the first events in the order of the expectation.
type Hits = BTreeMap<String, BTreeSet<String>>;

/// The expectation, where an event is an id or a 0-based line. One list is cut to its first 100.
fn assert_hits(found: &Hits, expected: &Path) {
    let expected: Value =
        serde_json::from_str(&fs::read_to_string(expected).expect("readable")).expect("JSON");
    let by_rule = expected["by_rule"].as_array().expect("rules");
    let counts = |rule: &Value| (text(&rule["file"]), rule["count"].as_u64().expect("a count"));
    let expected_counts: BTreeMap<String, u64> = by_rule.iter().map(counts).collect();
    let found_counts: BTreeMap<String, u64> =
        found.iter().map(|(rule, events)| (rule.clone(), events.len() as u64)).collect();
    assert_eq!(found_counts, expected_counts);
    for rule in by_rule {
        let events: BTreeSet<String> = rule["events"].as_array().expect("events").iter().map(text).collect();
        assert!(events.is_subset(&found[&text(&rule["file"])]), "{}", rule["file"]);
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[test]
fn public_rules_find_in_simulated_attacks_what_they_should() {
    let (Some(sigma), Some(stratus)) = (corpus("sigma"), corpus("stratus")) else { return };
    let (engine, folder) = (public_rules(sigma.path()), stratus.path().join("stratus"));
    let mut found = Hits::new();
    for path in files(&folder.join("docs/detonation-logs"), "json") {
        let log = fs::read_to_string(path).expect("readable");
        for record in serde_json::from_str::<Vec<&RawValue>>(&log).expect("an array") {
            let event: Value = serde_json::from_str(record.get()).expect("JSON");
            assert_index_is_right(&engine, &event);
            for hit in engine.evaluate("aws.cloudtrail", record.get()).expect("JSON") {
                found.entry(hit.rule.file.clone()).or_default().insert(text(&event["eventID"]));
            }
        }
    }
    assert_hits(&found, &folder.join("sigma_expected.json"));
}

#[test]
fn public_rules_find_in_labelled_events_what_they_should() {
    let (Some(sigma), Some(panther)) = (corpus("sigma"), corpus("panther")) else { return };
    let (engine, folder) = (public_rules(sigma.path()), panther.path().join("panther"));
    for (set, format) in [
        ("aws_cloudtrail", "aws.cloudtrail"),
        ("amazon_eks_audit", "kubernetes.audit"),
        ("github_audit", "github.audit"),
        ("okta_systemlog", "okta.system_log"),
    ] {
        let mut found = Hits::new();
        let lines = fs::read_to_string(folder.join(format!("{set}.jsonl"))).expect("readable");
        for (number, line) in lines.lines().enumerate() {
            let labelled: Value = serde_json::from_str(line).expect("JSON");
            assert_index_is_right(&engine, &labelled["event"]);
            let record = labelled["event"].to_string();
            for hit in engine.evaluate(format, &record).expect("JSON") {
                found.entry(hit.rule.file.clone()).or_default().insert(number.to_string());
            }
        }
        assert_hits(&found, &folder.join(format!("sigma_expected_{set}.json")));
    }
}
