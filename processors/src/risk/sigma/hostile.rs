//! Rule files that nobody meant: each is a rule, or a problem that names its file; records are evaluated or
//! refused.

use proptest::prelude::*;

use super::SigmaEngine;

/// Rules of each kind, whose lines are cut, moved and changed.
const RULES: [&str; 3] = [
    "title: One
id: 0d1f4a4e-7f0c-4b6e-9d5a-1b2c3d4e5f60
logsource:
    product: aws
    service: cloudtrail
detection:
    selection:
        eventName|startswith: ['Create', 'Delete*']
        userIdentity.arn|re|i: '^arn:.*:user/.+$'
        sourceIPAddress|cidr: 192.0.2.0/24
        requestParameters.size|gte: 3
    filter:
        - userAgent|contains|all: [a, b]
        - errorCode: null
    keywords: ['secret', 'other*word']
    condition: selection and not 1 of filter* or keywords
falsepositives: [none]
level: high
",
    "title: Many
id: 1d1f4a4e-7f0c-4b6e-9d5a-1b2c3d4e5f61
name: base
logsource:
    product: aws
    service: cloudtrail
detection:
    selection:
        errorCode|exists: true
        eventTime|windash: '-a'
        eventName|base64offset|contains: foo
    condition: all of them
level: low
---
title: Counted
id: 2d1f4a4e-7f0c-4b6e-9d5a-1b2c3d4e5f62
correlation:
    type: event_count
    rules: [base]
    group-by: [userIdentity.arn]
    timespan: 5m
    condition:
        gte: 10
level: medium
",
    "title: Ordered
id: 3d1f4a4e-7f0c-4b6e-9d5a-1b2c3d4e5f63
correlation:
    type: temporal_ordered
    rules: [a, b]
    timespan: 10m
    aliases:
        who: {a: userIdentity.arn, b: actor}
    group-by: [who]
level: high
",
];

/// A change of one line.
#[derive(Debug, Clone)]
enum Change {
    Drop(usize),
    Repeat(usize, usize),
    Indent(usize, usize),
    Put(usize, String),
    Append(usize, String),
}

fn change() -> impl Strategy<Value = Change> {
    let line = 0_usize..40;
    let words = prop::sample::select(vec![
        "|re",
        "|cidr",
        "|expand",
        "|fieldref",
        "|base64",
        "|utf16le",
        ": null",
        ": {}",
        ": []",
        ": 1e999",
        ": &a [*a]",
        "|all|all",
        " and (",
        ")",
        " 1 of",
        "*",
        "%name%",
        "\u{202e}",
        "---",
        ": !!binary aaa",
        ": |",
        ": '",
        ": \"",
        "\t",
        ": -9223372036854775809",
    ]);
    prop_oneof![
        line.clone().prop_map(Change::Drop),
        (line.clone(), 2_usize..60).prop_map(|(line, times)| Change::Repeat(line, times)),
        (line.clone(), 0_usize..30).prop_map(|(line, spaces)| Change::Indent(line, spaces)),
        (line.clone(), "\\PC{0,40}").prop_map(|(line, text)| Change::Put(line, text)),
        (line, words).prop_map(|(line, text)| Change::Append(line, text.to_owned())),
    ]
}

fn changed(text: &str, change: &Change) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (Change::Drop(at)
    | Change::Repeat(at, _)
    | Change::Indent(at, _)
    | Change::Put(at, _)
    | Change::Append(at, _)) = change;
    let at = at % lines.len().max(1);
    let Some(line) = lines.get(at).cloned() else { return String::new() };
    match change {
        Change::Drop(_) => drop(lines.remove(at)),
        Change::Repeat(_, times) => lines.splice(at..at, std::iter::repeat_n(line, *times)).for_each(drop),
        Change::Indent(_, spaces) => lines[at] = format!("{}{}", " ".repeat(*spaces), line.trim_start()),
        Change::Put(_, text) => lines[at].clone_from(text),
        Change::Append(_, text) => {
            lines[at] = line.split_once(':').map_or_else(
                || format!("{line}{text}"),
                |(name, rest)| {
                    if text.starts_with('|') {
                        format!("{name}{text}:{rest}")
                    } else {
                        format!("{line}{text}")
                    }
                },
            );
        }
    }
    lines.join("\n")
}

proptest! {
    #[test]
    fn any_rule_file_is_read_or_told(
        rule in prop::sample::select(RULES.to_vec()),
        changes in prop::collection::vec(change(), 0..6),
        record in super::world::record(),
    ) {
        let text = changes.iter().fold(rule.to_owned(), |text, change| changed(&text, change));
        let (engine, problems) = SigmaEngine::load([("rule.yml", text.as_str())]);
        prop_assert!(problems.iter().all(|problem| problem.file == "rule.yml"), "{problems:?}");
        let read = engine.rules().count();
        prop_assert!(read > 0 || !problems.is_empty(), "neither read nor told: {text}");
        drop(engine.evaluate("aws.cloudtrail", &record.to_string()));
    }

    #[test]
    fn any_bytes_as_a_record_are_evaluated_or_refused(text in "\\PC{0,120}") {
        let (engine, _) = SigmaEngine::load([("rule.yml", RULES[0])]);
        let is_object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
        prop_assert!(engine.evaluate("aws.cloudtrail", &text).is_ok() || !is_object);
    }
}
