//! `weir rules` as people and scripts use it: no server, files in, hits out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use processors::{
    Processor as _,
    risk::{Risk, RuleSet, rules::EXAMPLES_SUFFIX, sigma::SigmaEngine},
};
use producers::generate::{Generator, GeneratorConfig, Mix};
use projections::risk::{FirstSight, FirstSights, GroupEvent, completing, first_of_hours};
use schemas::{
    Envelope, TenantId,
    changes::{
        correlation::CorrelationPart,
        risk::{RiskChange, SignalLevel},
    },
};
use serde_json::Value;

use crate::support::corpus::corpus;

fn weir(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir-under-test"))
        .arg("rules")
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("the command starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn hits(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
}

/// Hits by rule file: how many, and the events as the expectation names them.
fn assert_expected(hits: &[Value], event: impl Fn(&Value) -> String, expected: &Path) {
    let expected: Value = serde_json::from_str(&fs::read_to_string(expected).expect("read")).expect("JSON");
    let told = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for hit in hits {
        let file = Path::new(hit["rule_file"].as_str().expect("a rule's file"));
        let file = file.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(hit["author"].is_string() && hit["title"].is_string() && hit["level"].is_string(), "{hit}");
        assert!(found.entry(file).or_default().insert(event(hit)), "told twice: {hit}");
    }
    let rules = expected["by_rule"].as_array().expect("rules");
    let count = |rule: &Value| (told(&rule["file"]), rule["count"].as_u64().expect("a count"));
    let counts: BTreeMap<String, u64> = rules.iter().map(count).collect();
    assert_eq!(
        found.iter().map(|(rule, events)| (rule.clone(), events.len() as u64)).collect::<BTreeMap<_, _>>(),
        counts
    );
    for rule in rules {
        let events: BTreeSet<String> = rule["events"].as_array().expect("events").iter().map(told).collect();
        assert!(events.is_subset(&found[&told(&rule["file"])]), "{}", rule["file"]);
    }
    assert_eq!(hits.len() as u64, expected["hits"].as_u64().expect("a count"));
}

#[test]
fn public_rules_find_in_simulated_attacks_what_they_should() {
    let (Some(sigma), Some(stratus)) = (corpus("sigma"), corpus("stratus")) else { return };
    let (rules, folder) = (sigma.path().join("sigma/rules"), stratus.path().join("stratus"));
    let checked = weir(&["check", text(&rules), "--output", "json"]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    let checked: Value = serde_json::from_str(&stdout(&checked)).expect("JSON");
    assert_eq!((&checked["usable"], &checked["problems"]), (&Value::from(109), &Value::Array(Vec::new())));

    let logs = folder.join("docs/detonation-logs");
    let args =
        ["scan", "--rules", text(&rules), "--format", "aws.cloudtrail", "--output", "ndjson", text(&logs)];
    let found = weir(&args);
    assert!(found.status.success(), "{}", stderr(&found));
    let hits = hits(&found);
    assert_eq!(hits.len(), 80);
    let event_id = |hit: &Value| hit["event_id"].as_str().expect("an id").to_owned();
    assert_expected(&hits, event_id, &folder.join("sigma_expected.json"));
    // The record is where the line says it is.
    let file = fs::read_to_string(hits[0]["file"].as_str().expect("a file")).expect("read");
    let records: Vec<Value> = serde_json::from_str(&file).expect("an array");
    let record = usize::try_from(hits[0]["record"].as_u64().expect("a place")).expect("small");
    assert_eq!(records[record]["eventID"], hits[0]["event_id"]);
}

#[test]
fn public_rules_find_in_labelled_events_what_they_should() {
    let (Some(sigma), Some(panther)) = (corpus("sigma"), corpus("panther")) else { return };
    let (rules, folder) = (sigma.path().join("sigma/rules"), panther.path().join("panther"));
    let files = tempfile::tempdir().expect("a folder");
    for (set, format, count) in [
        ("aws_cloudtrail", "aws.cloudtrail", 172),
        ("amazon_eks_audit", "kubernetes.audit", 43),
        ("github_audit", "github.audit", 7),
        ("okta_systemlog", "okta.system_log", 0),
    ] {
        let lines = fs::read_to_string(folder.join(format!("{set}.jsonl"))).expect("read");
        let events = lines.lines().map(|line| {
            let labelled: Value = serde_json::from_str(line).expect("JSON");
            format!("{}\n", labelled["event"])
        });
        let file = files.path().join(format!("{set}.ndjson"));
        fs::write(&file, events.collect::<String>()).expect("written");
        let found =
            weir(&["scan", "--rules", text(&rules), "--format", format, text(&file), "--output", "ndjson"]);
        assert!(found.status.success(), "{}", stderr(&found));
        let hits = hits(&found);
        assert_eq!(hits.len(), count, "{set}");
        let line = |hit: &Value| hit["record"].to_string();
        assert_expected(&hits, line, &folder.join(format!("sigma_expected_{set}.json")));
    }
}

#[test]
fn our_own_rules_pass_their_own_examples() {
    let tested = weir(&["test", "--output", "json"]);
    assert!(tested.status.success(), "{}{}", stdout(&tested), stderr(&tested));
    let tested: Value = serde_json::from_str(&stdout(&tested)).expect("JSON");
    assert_eq!(tested["without_examples"], Value::Array(Vec::new()));
    // A file that was added is part of the program, not only of the folder.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above this crate");
    let files = crate::support::corpus::files(&root.join("processors/rules/sigma"), "yml");
    let rules = files.iter().filter(|file| !file.to_string_lossy().ends_with(".examples.yml"));
    assert_eq!(tested["rule_files"], Value::from(rules.count()));

    let listed = weir(&["list", "--output", "ndjson"]);
    let listed = hits(&listed);
    let ids: BTreeSet<_> = listed.iter().map(|rule| rule["rule_id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), listed.len(), "an id names one rule");
    let named: BTreeSet<_> = listed.iter().map(|rule| rule["rule_file"].as_str().expect("a file")).collect();
    assert_eq!(tested["rule_files"], Value::from(named.len()), "every file holds a rule");
    let correlations = listed.iter().filter(|rule| rule["format"] == "correlation").count();
    assert!(correlations >= 5, "{correlations}");
}

/// Of an organisation's everyday events, at most one in a thousand deserves a look by Weir's own rules.
#[test]
fn ordinary_work_stays_within_the_noise_budget() {
    let own = processors::risk::rules::own();
    let rules = own.into_iter().filter(|(name, _)| !name.ends_with(EXAMPLES_SUFFIX));
    let (engine, problems) = SigmaEngine::load(rules);
    assert_eq!(problems, []);
    let end = "2026-06-01T12:00:00Z".parse().expect("a time");
    let events = 20_000;
    // The organisation has incidents too, one in some thousands of events; the other mix has none.
    for mix in [Mix::Organisation, Mix::CloudTrail] {
        let mut counted: BTreeMap<SignalLevel, u64> = BTreeMap::new();
        for seed in [1, 7] {
            let tenant = TenantId::new("t").expect("a tenant");
            let config = GeneratorConfig { mix, ..GeneratorConfig::ending_at(end, events, tenant) };
            for event in Generator::new(seed, config).take(usize::try_from(events).expect("few")) {
                let Some(native) = &event.native else { continue };
                let hits = engine.evaluate(&native.format, &native.record).expect("JSON");
                for hit in hits.iter().filter(|hit| hit.rule.generates) {
                    *counted.entry(hit.rule.level).or_default() += 1;
                }
            }
        }
        let of = |level| counted.get(&level).copied().unwrap_or(0);
        assert_eq!(of(SignalLevel::Critical), 0, "{mix:?}: {counted:?}");
        let looked_at = of(SignalLevel::Medium) + of(SignalLevel::High);
        assert!(looked_at <= 2 * events / 1_000, "{mix:?}: {counted:?}");
    }
}

/// The correlations that many events complete, or that they are new to: level, rule and how often, as a stage reports it.
fn reported_of(events: impl Iterator<Item = Envelope>) -> BTreeMap<(SignalLevel, String), usize> {
    let risk = Risk::new(RuleSet::own());
    let (mut counted, mut sighted) = (BTreeMap::<_, Vec<CorrelationPart>>::new(), BTreeMap::new());
    for event in events {
        for change in risk.process(&event) {
            match change {
                RiskChange::Part(part) => {
                    counted.entry((part.rule.id.clone(), part.group.clone())).or_default().push(*part);
                }
                RiskChange::Sightings(sightings) => {
                    let (at, event_id) = (sightings.occurred_at, *sightings.event_id.as_uuid());
                    for shown in sightings.shown {
                        let sight = FirstSight { at, event_id, terms: shown.terms };
                        let key = (shown.rule.level, shown.rule.title.clone(), shown.group);
                        sighted.entry(key).or_insert_with(FirstSights::default).see(&shown.value, sight);
                    }
                }
                _ => {}
            }
        }
    }
    let mut reported = BTreeMap::new();
    for parts in counted.values() {
        let events = parts.iter().map(|part| GroupEvent {
            occurred_at: part.occurred_at,
            event_id: *part.event_id.as_uuid(),
            reference: &part.reference,
            value: &part.value,
            terms: &part.terms,
        });
        let events: Vec<GroupEvent<'_>> = events.collect();
        let reports = first_of_hours(&events, &completing(&events)).len();
        *reported.entry((parts[0].rule.level, parts[0].rule.title.clone())).or_default() += reports;
    }
    for ((level, title, _), sights) in sighted {
        *reported.entry((level, title)).or_default() += sights.reported().len();
    }
    reported.retain(|_, reports| *reports > 0);
    reported
}

/// Signals of our own detectors of sequences, enumeration, place and novelty on an organisation's everyday work: within an
/// hour or two at its busiest, and over a month, when novelty is told.
#[test]
fn ordinary_work_is_nothing_new() {
    let end = "2026-06-01T12:00:00Z".parse().expect("a time");
    let events = 20_000;
    for (mix, gap) in [
        (Mix::Organisation, Duration::from_millis(250)),
        (Mix::Organisation, Duration::from_secs(130)),
        (Mix::CloudTrail, Duration::from_secs(130)),
    ] {
        let tenant = TenantId::new("t").expect("a tenant");
        let mut config = GeneratorConfig { mix, ..GeneratorConfig::ending_at(end, events, tenant) };
        config.start_time = end - gap * u32::try_from(events).expect("few");
        config.mean_gap = gap;
        let reported = reported_of(Generator::new(11, config).take(usize::try_from(events).expect("few")));
        let of = |least| -> usize {
            reported.iter().filter(|((level, _), _)| *level >= least).map(|(_, reports)| reports).sum()
        };
        // Two in a thousand, the organisation's own incidents among them; and ten of those that nobody needs to look at.
        assert!(of(SignalLevel::Medium) <= 40, "{mix:?}, {gap:?}: {reported:?}");
        assert!(of(SignalLevel::Informational) <= 200, "{mix:?}, {gap:?}: {reported:?}");
    }
}

const GOOD: &str = "title: Key created\nid: 11111111-2222-4333-8444-555555555555\nauthor: Ada\nlogsource:\n    \
                    product: aws\n    service: cloudtrail\ndetection:\n    selection:\n        eventName: \
                    CreateAccessKey\n    condition: selection\nlevel: medium\n";

#[test]
fn a_rule_that_cannot_be_used_is_named_and_the_others_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).expect("written");
    fs::create_dir(folder.path().join("deep")).expect("made");
    write("deep/good.yml", GOOD.as_bytes());
    write("regex.yml", GOOD.replace("eventName:", "eventName|re: '('\n        other:").as_bytes());
    write("cut.yml", b"title: [\n");
    write("bytes.yml", b"title: \xFF\n");
    write("notes.txt", b"no rule");

    let checked = weir(&["check", text(folder.path())]);
    assert_eq!(checked.status.code(), Some(1));
    for named in ["regex.yml:9", "cut.yml", "bytes.yml"] {
        assert!(stderr(&checked).contains(named), "{named} in {}", stderr(&checked));
    }
    // The id of the one is that of the other too.
    assert_eq!(stdout(&checked), "1 rules can be used, 3 cannot, 1 findings about those that can\n");
    let checked = weir(&["check", text(folder.path()), "--output", "json"]);
    assert_eq!(checked.status.code(), Some(1));
    let checked: Value = serde_json::from_str(&stdout(&checked)).expect("JSON");
    assert_eq!((&checked["files"], &checked["usable"]), (&Value::from(3), &Value::from(1)));
    assert_eq!(checked["problems"].as_array().expect("problems").len(), 3, "{checked}");

    let log = folder.path().join("log.json");
    fs::write(&log, r#"[{"eventName":"CreateAccessKey"}]"#).expect("written");
    let args = ["scan", "--rules", text(folder.path()), "--format", "aws.cloudtrail", text(&log)];
    let found = weir(&[&args[..], &["--output", "ndjson"]].concat());
    assert!(found.status.success(), "{}", stderr(&found));
    assert_eq!(hits(&found)[0]["rule_file"], "deep/good.yml");
    assert!(stderr(&found).contains("left out: regex.yml:9"), "{}", stderr(&found));
    let table = weir(&args);
    assert!(stdout(&table).contains("Key created, by Ada"), "{}", stdout(&table));
}

#[test]
fn what_is_no_record_is_named_with_its_place_and_the_rest_is_scanned() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let rule = write("rule.yml", GOOD);
    let deep =
        format!(r#"{{"eventName":"CreateAccessKey","deep":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let giant = format!(r#"{{"eventName":"CreateAccessKey","text":"{}"}}"#, "x".repeat(5_000_000));
    let hit = r#"{"eventName":"CreateAccessKey"}"#;
    let log = write("log.json", &format!("[{hit}, 7, {deep}, {giant}, {hit}]"));
    let cut = write("cut.json", &format!("[{hit}, {{\"eventName\":"));
    let found = weir(&[
        "scan",
        "--rules",
        text(&rule),
        "--format",
        "aws.cloudtrail",
        "--output",
        "ndjson",
        text(&log),
        text(&cut),
        text(&folder.path().join("missing.json")),
    ]);
    assert_eq!(found.status.code(), Some(1));
    let places: Vec<_> = hits(&found).iter().map(|hit| hit["record"].as_u64().expect("a place")).collect();
    assert_eq!(places, [0, 4, 0]);
    for named in [
        "log.json record 1: not an object",
        "log.json record 2:",
        "log.json record 3:",
        "cut.json: it ends",
        "missing.json:",
    ] {
        assert!(stderr(&found).contains(named), "{named} in {}", stderr(&found));
    }
    assert!(stderr(&found).contains("3 records, 3 hits, 5 not readable"), "{}", stderr(&found));
}

#[test]
fn examples_that_are_wrong_or_missing_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("rule.yml", GOOD);
    let none = weir(&["test", text(folder.path())]);
    assert_eq!(none.status.code(), Some(1), "nothing was shown to be right");
    let example =
        |name: &str, event: &str| format!("  - name: {name}\n    event: {{ eventName: {event} }}\n");
    let examples = |positive: &str, negative: &str| format!("positive:\n{positive}negative:\n{negative}");
    write(
        "rule.examples.yml",
        &examples(&example("made", "CreateAccessKey"), &example("deleted", "DeleteAccessKey")),
    );
    assert!(weir(&["test", text(folder.path())]).status.success());
    write("rule.examples.yml", &examples(&example("silent", "Other"), &example("loud", "CreateAccessKey")));
    let wrong = weir(&["test", text(folder.path())]);
    assert_eq!(wrong.status.code(), Some(1));
    for named in ["rule.yml (silent): the rule is silent", "rule.yml (loud): the rule fires"] {
        assert!(stderr(&wrong).contains(named), "{named} in {}", stderr(&wrong));
    }
    let explained = weir(&["explain", "key CREATED", "--rules", text(folder.path())]);
    assert!(explained.status.success() && stdout(&explained).contains("eventName: CreateAccessKey"));
    assert_eq!(weir(&["explain", "nothing", "--rules", text(folder.path())]).status.code(), Some(1));
}

#[test]
fn records_of_a_shape_of_ones_own_are_scanned_and_no_hit_is_no_answer_about_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("written");
        path
    };
    let rule = file(
        "rule.yml",
        "title: One field\nid: 7c1f5b4e-0d5a-4b0e-9d59-0f6f2f8f7a11\nstatus: test\nauthor: tests\nlevel: high\n\
         logsource: { product: aws, service: cloudtrail }\ndetection: { sel: { field: 'a*' }, condition: sel }\n",
    );
    let scan = |records: &Path| {
        weir(&[
            "scan",
            "--rules",
            text(&rule),
            "--format",
            "aws.cloudtrail",
            "--output",
            "ndjson",
            text(records),
        ])
    };
    let found = scan(&file("hit.json", r#"{"field": "abc"}"#));
    assert_eq!((found.status.code(), hits(&found).len()), (Some(0), 1), "{}", stderr(&found));
    let nothing = scan(&file("miss.json", r#"{"field": "xyz"}"#));
    assert_eq!((nothing.status.code(), hits(&nothing).len()), (Some(1), 0));
    assert!(stderr(&nothing).contains("do not look like a CloudTrail record"), "{}", stderr(&nothing));
    let foreign = scan(&file(
        "kubernetes.json",
        r#"{"kind": "Event", "auditID": "1", "stage": "Panic", "verb": "get"}"#,
    ));
    assert_eq!(foreign.status.code(), Some(1));
    assert!(stderr(&foreign).contains("Kubernetes"), "{}", stderr(&foreign));
}
