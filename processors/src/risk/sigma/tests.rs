//! Hand-written rules for each part of the specification; the public rules against their expected hits.
#![expect(clippy::disallowed_methods, reason = "tests read the corpus; processors read no files")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::{Finding, FindingKind, Json, Placeholders, RuleProblem, SigmaEngine, world};
use crate::{
    risk::rules::{EXAMPLES_SUFFIX, own},
    tests::corpus::{corpus, files},
};

/// A CloudTrail rule with that `detection`, its lines indented by four.
fn rule(detection: &str) -> String {
    let logsource = "logsource:\n    product: aws\n    service: cloudtrail\n";
    format!(
        "title: A rule\nid: 0d1f4a4e-7f0c-4b6e-9d5a-1b2c3d4e5f60\n{logsource}\
         detection:\n{detection}level: high\n"
    )
}

/// A detection of one selection with those lines.
fn selection(lines: &str) -> String {
    let lines = lines.replace('\n', "\n        ");
    format!("    selection:\n        {lines}\n    condition: selection\n")
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
    let json = Json::from(record);
    for format in formats {
        let indexed: Vec<_> =
            engine.evaluate_record(format, &json).iter().map(|hit| hit.rule.id.as_str()).collect();
        let each: Vec<_> = engine.evaluate_each(format, &json).iter().map(|rule| rule.id.as_str()).collect();
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_index_answers_alike_for_any_rules(
        detections in prop::collection::vec(world::detection(), 20..40),
        records in prop::collection::vec(world::record(), 1..20),
    ) {
        let texts = detections.iter().enumerate().map(|(n, detection)| {
            (format!("{n}.yml"), rule(detection).replace("1b2c3d4e5f60", &format!("{n:012}")))
        });
        let (engine, problems) = SigmaEngine::load(texts);
        prop_assert_eq!(problems, vec![]);
        for record in &records {
            assert_index_is_right(&engine, record);
        }
    }
}

#[test]
fn an_exact_value_beside_a_test_of_case_is_no_contradiction() {
    for test in
        ["eventName|re: '^Put'", "eventName|startswith|cased: Put", "eventName|cased: PutBucketPolicy"]
    {
        let text = rule(&format!(
            "    s: {{eventName: PutBucketPolicy}}\n    t: {{{test}}}\n    condition: s and t\n"
        ));
        let (engine, problems) = SigmaEngine::load([("rule.yml", text)]);
        assert_eq!(problems, [], "{test}");
        assert_eq!(engine.findings(), [], "{test}");
        let hits = engine.evaluate("aws.cloudtrail", r#"{"eventName":"PutBucketPolicy"}"#).expect("JSON");
        assert_eq!(hits.len(), 1, "{test}");
    }
}

#[test]
fn rules_that_cannot_do_their_work_are_found() {
    let found = |detection: &str| -> Vec<FindingKind> {
        let (engine, problems) = SigmaEngine::load([("rule.yml", rule(detection))]);
        assert_eq!(problems, [], "{detection}");
        engine.findings().iter().map(|finding| finding.kind).collect()
    };
    let of = |lines: &str, condition: &str| format!("{lines}    condition: {condition}\n");
    let s = "    s: {eventName: A}\n";
    for (lines, condition) in [
        (s, "s and not s"),
        ("    s: {eventName: A}\n    t: {eventName: B}\n", "s and t"),
        (
            "    s: {eventName: [A, B]}\n    f: {eventName: 'a*'}\n    g: {eventName: b}\n",
            "s and not 1 of f and not g",
        ),
        ("    s: {eventName: A, errorCode: null}\n    t: {errorCode: 'x*'}\n", "s and t"),
        ("    s: {errorCode|exists: false}\n    t: {errorCode: x}\n", "s and t"),
        ("    s: {requestParameters.n|gt: 5}\n    t: {requestParameters.n|lt: 3}\n", "all of them"),
        ("    s: {eventName: A}\n    t: {eventName: B}\n", "(s and t) or (s and not s)"),
    ] {
        assert_eq!(found(&of(lines, condition)), [FindingKind::NeverFires], "{lines}{condition}");
    }
    for (lines, condition) in [
        (s, "not s"),
        ("    s: {eventName: '*'}\n", "s"),
        ("    s: {eventName|contains: ''}\n", "s"),
        ("    s: {errorCode: null}\n", "s"),
        ("    s: {eventName: A}\n    t: {eventName|neq: A}\n", "s or t"),
    ] {
        assert_eq!(found(&of(lines, condition)), [FindingKind::AlwaysFires], "{lines}{condition}");
    }
    assert_eq!(found(&of("    s: {eventname: A}\n", "s")), [FindingKind::UnknownField]);
    for (lines, condition) in [
        (s, "s"),
        ("    s: {eventName: [A, B]}\n    f: {eventName: b}\n", "s and not f"),
        ("    s: {eventName: A}\n    t: {eventName: B}\n", "s or t"),
        ("    s: {eventName: A, errorCode: [null, x]}\n    t: {errorCode: x}\n", "s and t"),
        ("    s: {requestParameters.n|gt: 3}\n    t: {requestParameters.n|lt: 5}\n", "all of them"),
        ("    s: {requestParameters.name: '*'}\n", "s"),
        (
            "    s: {userIdentity.arn|fieldref: requestParameters.arn}\n    t: {userIdentity.arn: a}\n",
            "s and t",
        ),
    ] {
        assert_eq!(found(&of(lines, condition)), [], "{lines}{condition}");
    }
    let good = rule(&selection("eventName: A"));
    let (engine, problems) = SigmaEngine::load([("one.yml", &good), ("two.yml", &good)]);
    assert_eq!((problems.len(), engine.rules().count()), (0, 2));
    let [finding] = engine.findings() else { panic!("one: {:?}", engine.findings()) };
    assert_eq!((finding.kind, finding.problem.file.as_str()), (FindingKind::SameId, "two.yml"));
    assert!(finding.problem.reason.contains("one.yml"), "{}", finding.problem);

    let id = &engine.rules().next().expect("a rule").1.id;
    let correlation = format!(
        "title: Many\nid: {id}\nlevel: low\ncorrelation: {{type: event_count, rules: [{id}], group-by: [a], timespan: 5m, \
         condition: {{gte: 3}}}}\n"
    );
    let (engine, problems) = SigmaEngine::load([("one.yml", &good), ("many.yml", &correlation)]);
    assert_eq!((problems.len(), engine.correlations().len()), (0, 1));
    let [finding] = engine.findings() else { panic!("one: {:?}", engine.findings()) };
    assert_eq!((finding.kind, finding.problem.file.as_str()), (FindingKind::SameId, "many.yml"));
}

#[test]
fn other_names_of_fields_stand_for_those_of_the_source() {
    let fires = |service: &str, lines: &str, format: &str, record: &Value| {
        let text = rule(&selection(lines)).replace("aws", "azure").replace("cloudtrail", service);
        let text = if service == "gcp.audit" { text.replace("azure", "gcp") } else { text };
        let (engine, problems) = SigmaEngine::load([("rule.yml", text)]);
        assert_eq!(problems, [], "{lines}");
        engine.evaluate_record(format, &record.into()).len() == 1
    };
    let gcp = json!({"protoPayload": {"methodName": "a.b.Delete", "authorizationInfo": [{"granted": true}]}});
    assert!(fires("gcp.audit", "gcp.audit.method_name|endswith: .delete", "gcp.audit", &gcp));
    assert!(fires("gcp.audit", "data.protoPayload.authorizationInfo.granted: true", "gcp.audit", &gcp));
    assert!(!fires("gcp.audit", "data.protoPayload.methodName: other", "gcp.audit", &gcp));
    let audit =
        json!({"operationName": "x", "properties": {"activityDisplayName": "Add user", "category": "Users"}});
    for lines in ["properties.message: add user", "ActivityDisplayName: add user", "OperationName: x"] {
        assert!(fires("auditlogs", lines, "azure.audit", &audit), "{lines}");
    }
    let told =
        json!({"operationName": "x", "properties": {"message": "own", "activityDisplayName": "Add user"}});
    assert!(
        !fires("auditlogs", "properties.message: add user", "azure.audit", &told),
        "its own name counts first"
    );
    let signin =
        json!({"properties": {"riskEventTypes_v2": ["leakedCredentials"], "status": {"errorCode": 50126}}});
    assert!(fires("riskdetection", "riskEventType: leakedCredentials", "azure.signin", &signin));
    assert!(fires("signinlogs", "ResultType: 50126", "azure.signin", &signin));
}

#[test]
fn a_set_of_rules_has_one_hash() {
    let hash = |texts: &[&str], placeholders: &Placeholders| {
        let files = texts.iter().enumerate().map(|(n, text)| (format!("{n}.yml"), *text));
        SigmaEngine::load_with(files, placeholders).0.hash().to_owned()
    };
    let (one, other) = (rule(&selection("eventName: A")), rule(&selection("eventName|expand: '%names%'")));
    let named = |name: &str| Placeholders::new(BTreeMap::from([("names".to_owned(), vec![name.to_owned()])]));
    let first = hash(&[&one, &other], &named("A"));
    assert_eq!(first.len(), 16);
    assert_eq!(first, hash(&[&one, &other], &named("A")));
    assert_ne!(
        first,
        hash(&[&other, &one], &named("A")),
        "the order of rules decides which of one id counts"
    );
    assert_ne!(first, hash(&[&one], &named("A")));
    assert_ne!(first, hash(&[&one, &other], &named("B")), "another value is another version");
    assert_ne!(first, hash(&[&one.replace("high", "low"), &other], &named("A")));
    let filtered = |value: &str| {
        let filter = format!(
            "title: f\nlogsource:\n  product: aws\n  service: cloudtrail\nfilter:\n  rules: any\n  own:\n    \
             eventName: {value}\n  condition: not own\n"
        );
        hash(&[&one, &other, &filter], &named("A"))
    };
    assert_ne!(first, filtered("C"), "a filter changes what the rules find");
    assert_ne!(filtered("C"), filtered("D"), "another filter is another set");
}

/// Public rules, all of which must load.
fn loaded(folder: &Path) -> SigmaEngine {
    let rules = files(&folder.join("rules"), "yml").into_iter().map(|path| {
        let name = path.strip_prefix(folder.join("rules")).expect("a file of the folder");
        (name.to_string_lossy().into_owned(), fs::read_to_string(&path).expect("readable"))
    });
    let (engine, problems) = SigmaEngine::load(rules);
    assert_eq!(problems, Vec::<RuleProblem>::new(), "public rules load unchanged");
    assert!(engine.rules().all(|(_, rule)| rule.author.is_some()), "outputs name every author");
    let unusable = engine.findings().iter().filter(|finding| finding.kind.is_unusable());
    assert_eq!(unusable.collect::<Vec<_>>(), Vec::<&Finding>::new());
    engine
}

/// The public rules for formats whose field names are those of the source.
fn public_rules(corpus: &Path) -> SigmaEngine {
    let engine = loaded(&corpus.join("sigma"));
    assert_eq!(engine.rules().count(), 109);
    engine
}

#[test]
fn public_rules_for_other_clouds_find_what_they_should() {
    let (Some(clouds), Some(panther)) = (corpus("sigma_clouds"), corpus("panther")) else { return };
    let (folder, panther) = (clouds.path().join("sigma_clouds"), panther.path().join("panther"));
    let engine = loaded(&folder);
    assert_eq!(engine.rules().count(), 139);
    for (rules, set, format) in [
        ("gcp_audit", "gcp_auditlog", "gcp.audit"),
        ("azure_activity_logs", "azure_monitoractivity", "azure.activity"),
        ("azure_audit_logs", "azure_audit", "azure.audit"),
        ("azure_signin_logs", "azure_audit", "azure.signin"),
    ] {
        let mut found = Hits::new();
        let lines = fs::read_to_string(panther.join(format!("{set}.jsonl"))).expect("readable");
        for (number, line) in lines.lines().enumerate() {
            let labelled: Value = serde_json::from_str(line).expect("JSON");
            assert_index_is_right(&engine, &labelled["event"]);
            let hits = engine.evaluate_record(format, &Json::from(&labelled["event"]));
            // The expectation is of one folder of rules on each log.
            for hit in hits
                .iter()
                .filter(|hit| hit.rule.file.replace('/', "_").starts_with(&format!("cloud_{rules}")))
            {
                found.entry(hit.rule.file.clone()).or_default().insert(number.to_string());
            }
        }
        assert_hits(&found, &folder.join(format!("expected_{rules}__{set}.json")));
    }
}

/// Hits by rule file: the count, and the first events in the order of the expectation.
type Hits = BTreeMap<String, BTreeSet<String>>;

/// Compares with the expectation, in which an event is an id or a 0-based line. One list is cut to its first
/// 100.
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

/// A file's name without its folders.
fn bare(file: &str) -> String {
    file.rsplit('/').next().unwrap_or(file).to_owned()
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
                found.entry(bare(&hit.rule.file)).or_default().insert(text(&event["eventID"]));
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
                found.entry(bare(&hit.rule.file)).or_default().insert(number.to_string());
            }
        }
        assert_hits(&found, &folder.join(format!("sigma_expected_{set}.json")));
    }
}
