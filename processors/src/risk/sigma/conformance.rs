//! The statements of the specification 2.1 about the meaning of rules: modifiers, values, conditions; about
//! their files in [`files`].

mod files;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Placeholders, RuleProblem, SigmaEngine};

const HEAD: &str = "title: A rule\nid: 0d1f4a4e-7f0c-4b6e-9d5a-1b2c3d4e5f60\n\
                    logsource: {product: aws, service: cloudtrail}\n";

fn placeholders() -> Placeholders {
    let values = ["ada", "adm_*"].map(str::to_owned).to_vec();
    let networks = ["10.0.0.0/8", "192.0.2.0/24"].map(str::to_owned).to_vec();
    Placeholders::new(BTreeMap::from([("admins".to_owned(), values), ("inside".to_owned(), networks)]))
}

fn load(rule: &str) -> (SigmaEngine, Vec<RuleProblem>) {
    SigmaEngine::load_with([("rule.yml", rule)], &placeholders())
}

/// Whether a rule with that detection fires on the record.
#[track_caller]
fn check(detection: &str, record: &Value, fires: bool) {
    let (engine, problems) = load(&format!("{HEAD}detection:\n{detection}\nlevel: high\n"));
    assert_eq!(problems, Vec::<RuleProblem>::new(), "{detection}");
    let hits = engine.evaluate("aws.cloudtrail", &record.to_string()).expect("JSON");
    assert_eq!(!hits.is_empty(), fires, "{detection}\non {record}");
}

/// Whether a rule of one selection with these lines fires on the record.
#[track_caller]
fn selects(lines: &str, record: &Value, fires: bool) {
    let lines = lines.replace('\n', "\n    ");
    check(&format!("  selection:\n    {lines}\n  condition: selection"), record, fires);
}

/// Checks that a rule of one selection with these lines is rejected, with a reason that contains the text.
#[track_caller]
fn refused(lines: &str, reason: &str) {
    let lines = lines.replace('\n', "\n    ");
    refused_rule(&format!("{HEAD}detection:\n  selection:\n    {lines}\n  condition: selection\n"), reason);
}

#[track_caller]
fn refused_rule(rule: &str, reason: &str) {
    let (engine, problems) = load(rule);
    assert_eq!((engine.rules().count(), problems.len()), (0, 1), "{rule}\n{problems:?}");
    assert!(problems[0].reason.contains(reason), "{}", problems[0]);
}

#[test]
fn generic_modifiers() {
    let record =
        json!({"a": "Boto x aws-cli/2.0", "list": ["one", "two"], "n": 4711, "none": null, "empty": ""});
    for (lines, fires) in [
        ("a|contains|all: [boto, cli]", true),
        ("a|all|contains: [boto, cli, java]", false),
        ("list|all: [one, two]", true),
        ("list|all: [one, three]", false),
        ("a|startswith: boto", true),
        ("a|startswith: 'boto*aws'", true),
        ("a|startswith: [zzz, 'B?to*aws']", true),
        ("a|startswith: aws", false),
        ("a|endswith: CLI/2.0", true),
        ("a|endswith: 'aws*2.?'", true),
        ("a|endswith: 'boto'", false),
        ("a|contains: ' X '", true),
        ("a|contains: 'boto*cli'", true),
        (r"a|contains: 'boto\*cli'", false),
        ("n|contains: 71", true),
        ("n|startswith: 47", true),
        ("a|exists: true", true),
        ("empty|exists: true", true),
        ("none|exists: true", true),
        ("none|exists: false", false),
        ("missing|exists: false", true),
        ("missing|exists: true", false),
        ("a|cased: 'Boto*'", true),
        ("a|cased: 'boto*'", false),
        ("a|contains|cased: aws", true),
        ("a|contains|cased: AWS", false),
        ("a|neq: boto", true),
        ("a|neq: 'boto x AWS-cli/2.0'", false),
        ("a|neq: [boto, 'BOTO*']", false),
        ("n|neq: 4711", false),
        ("n|neq: 1", true),
        ("list|neq: one", false),
        ("missing|neq: one", false),
        ("a|contains|neq: java", true),
        ("a|re|neq: '^B'", false),
    ] {
        selects(lines, &record, fires);
    }
    refused("a|frobnicate: x", "\"frobnicate\"");
    refused("a|exists: maybe", "true or false");
    refused("a|neq: null", "null takes no modifier");
    refused("a|contains: null", "null takes no modifier");
}

#[test]
fn strings_and_regular_expressions() {
    let record = json!({"c": "runner \u{2013}force /all", "t": "one\ntwo\n", "p": "a-b", "n": 4711});
    for (lines, fires) in [
        ("c|windash|contains: ' -force'", true),
        ("c|windash|contains: '/force -all'", true),
        ("c|contains: ' -force'", false),
        ("p|windash: 'a/b'", false),
        ("t|re: '^one$'", false),
        ("t|re|m: '^one$'", true),
        ("t|re: 'two$'", true),
        ("t|re: 'one.two'", false),
        ("t|re|s: 'one.two'", true),
        ("t|re|i: 'ONE'", true),
        ("t|re: 'ONE'", false),
        ("t|re|i|m|s: '^TWO.$'", true),
        ("t|re: ['x', 't[uw]o']", true),
        ("t|re|all: ['one', 't(w|u)o']", true),
        ("t|re|all: ['one', 'three']", false),
        ("n|re: '^47[0-9]{2}$'", true),
    ] {
        selects(lines, &record, fires);
    }
    refused("a|re: '('", "regular expression");
    refused("a|re: '(?=x)'", "look-around");
    refused("a|re: '(a)\\1'", "backreferences");
    refused("a|windash: '-a -b -c -d -e'", "at most 4");
    refused("a|i: x", "behind \"re\"");
}

#[test]
fn encodings() {
    let record = json!({
        "b": "d2hvYW1p", "long": "Y3VybCBodHRwczovL2V4YW1wbGU=",
        "wide": "cwBlAGMAcgBlAHQA", "be": "AHMAZQBjAHIAZQB0",
        "bom": "//5zAGUAYwByAGUAdAA=", "raw": "s\u{0}e\u{0}", "port": "NDQz",
    });
    for (lines, fires) in [
        ("b|base64: whoami", true),
        ("b|base64: whoareyou", false),
        ("long|base64offset|contains: 'https://'", true),
        ("long|base64offset|contains: 'ftp://'", false),
        ("long|base64offset|contains|all: [curl, example]", true),
        ("long|base64offset|contains|all: [curl, wget]", false),
        ("wide|wide|base64: secret", true),
        ("wide|utf16le|base64offset|contains: ecre", true),
        ("be|utf16be|base64: secret", true),
        ("bom|utf16|base64: secret", true),
        ("wide|utf16be|base64: secret", false),
        ("raw|utf16le: se", true),
        ("port|base64: 443", true),
    ] {
        selects(lines, &record, fires);
    }
    refused("a|base64: 'x*'", "wildcards");
    refused("a|utf16: x", "`base64` must follow");
}

#[test]
fn numbers_times_and_networks() {
    let record = json!({
        "n": 400, "t": "443", "f": 1.5, "big": 9_007_199_254_740_993_u64, "word": "many", "list": [1, 10],
        "at": "2026-03-01T23:05:00-05:00", "spaced": "2026-12-31 00:59:59.000", "day": "2026-03-01",
        "ms": 1_772_409_900_000_i64,
        "ip": "10.1.2.3", "v6": "2001:db8::1", "mapped": "::ffff:10.1.2.3",
        "ips": ["192.0.2.7", "AWS Internal"],
    });
    for (lines, fires) in [
        ("n|gte: 400", true),
        ("n|gt: 400", false),
        ("n|lt: 400.5", true),
        ("n|lte: 399", false),
        ("t|lt: 1024", true),
        ("f|gt: 1", true),
        ("big|gt: 9007199254740992", true),
        ("big: 9007199254740992", false),
        ("big: 9007199254740993", true),
        ("word|gt: 1", false),
        ("list|gt: 5", true),
        ("missing|lt: 5", false),
        ("at|hour: 23", true),
        ("at|minute: 5", true),
        ("at|day: 1", true),
        ("at|month: 3", true),
        ("at|year: 2026", true),
        ("at|week: 9", true),
        ("at|hour|gte: 22", true),
        ("at|hour|lt: 22", false),
        ("at|hour|neq: 23", false),
        ("at|hour: [22, 23]", true),
        ("spaced|hour: 0", true),
        ("spaced|minute: 59", true),
        ("day|month: 3", true),
        ("day|hour: 0", false),
        ("ms|hour: 0", true),
        ("word|hour: 0", false),
        ("ip|cidr: 10.0.0.0/8", true),
        ("ip|cidr: ['192.0.2.0/24', '10.1.0.0/16']", true),
        ("ip|cidr: 11.0.0.0/8", false),
        ("ip|cidr: 10.1.2.3", true),
        ("v6|cidr: '2001:db8::/32'", true),
        ("mapped|cidr: 10.0.0.0/8", true),
        ("ips|cidr: 192.0.2.0/24", true),
        ("ip|cidr|neq: 11.0.0.0/8", true),
        ("word|cidr: 10.0.0.0/8", false),
    ] {
        selects(lines, &record, fires);
    }
    refused("a|gt: many", "a number is wanted");
    refused("a|gt: '5'", "without quotes");
    refused("a|hour: 24", "from 0 to 23");
    refused("a|cidr: nowhere", "no network");
    refused("a|cidr: 4", "a network");
    refused("a: 123456789012345678901234567890", "");
}

#[test]
fn references_and_placeholders() {
    let record =
        json!({"a": "Ada", "b": "ada", "c": "eve", "d": "adalbert", "n": 1, "t": "1", "ip": "192.0.2.9"});
    for (lines, fires) in [
        ("a|fieldref: b", true),
        ("a|fieldref: c", false),
        ("a|fieldref: missing", false),
        ("missing|fieldref: a", false),
        ("a|fieldref|cased: b", false),
        ("d|fieldref|startswith: a", true),
        ("d|fieldref|endswith: a", false),
        ("d|fieldref|contains: b", true),
        ("a|fieldref|neq: c", true),
        ("a|fieldref|neq: b", false),
        ("a|fieldref|neq: missing", false),
        ("n|fieldref: t", true),
        ("a|fieldref: [c, b]", true),
        ("a|expand: '%admins%'", true),
        ("c|expand: '%admins%'", false),
        ("d|expand|startswith: '%admins%'", true),
        ("a|contains|expand: '%admins%'", true),
        ("a: '%admins%'", false),
        ("ip|cidr|expand: '%inside%'", true),
    ] {
        selects(lines, &record, fires);
    }
    selects("a|expand: '%admins%'", &json!({"a": "adm_eve"}), true);
    selects(r"a|expand: '\%admins%admins%'", &json!({"a": "%adminsada"}), true);
    selects("a: '%admins%'", &json!({"a": "%admins%"}), true);
    refused("a|expand: '%nobody%'", "%nobody%");
    refused("a|contains|fieldref: b", "behind \"fieldref\"");
    refused("a|fieldref: 5", "name of a field");
}

#[test]
fn values_and_wildcards() {
    let policy = "{\n  \"Effect\": \"Allow\",\n  \"Action\": \"*\"\n}";
    let record = json!({
        "a": "x\ny", "p": policy, "path": r"C:\Windows\cmd.exe", "star": "a*b", "slash": r"\\srv",
        "flag": true,
        "off": "False", "n": 17, "zero": "007", "o": {"k": ["v", {"w": 1}]}, "list": [{"p": 22}, {"p": 443}],
        "empty": [],
        "none": null, "blank": "", "text": "null", "u": "STRAẞE ΟΔΟΣ",
    });
    for (lines, fires) in [
        ("a: 'x*'", true),
        ("a: 'X?Y'", true),
        ("a: 'x'", false),
        (r#"p: '*"Effect"*"Allow"*"Action"*"\*"*'"#, true),
        (r"path: 'c:\windows\*.exe'", false),
        (r"path: 'c:\windows\\*.exe'", true),
        (r"path: 'C:\Windows\cmd.exe'", true),
        (r"path: 'C:\\Windows\\cmd.exe'", true),
        (r"star: 'a\*b'", true),
        (r"star: 'a\?b'", false),
        (r"slash: '\\\\srv'", true),
        (r"slash: '\\\srv'", true),
        ("flag: true", true),
        ("flag: false", false),
        ("flag: 'TRUE'", true),
        ("off: false", true),
        ("n: 17", true),
        ("n: '17'", true),
        ("n: '1?'", true),
        ("n: 18", false),
        ("zero: 7", true),
        ("zero: '7'", false),
        ("zero: 007", true),
        ("o.k: v", true),
        ("o|contains: '\"w\":1'", true),
        ("o.k.w: 1", true),
        ("list.p: 443", true),
        ("list.p: 80", false),
        ("none: null", true),
        ("missing: null", true),
        ("blank: null", false),
        ("text: null", false),
        ("n: null", false),
        ("n: [null, 17]", true),
        ("missing: [null, '']", true),
        ("blank: [null, '']", true),
        ("n: [null, '']", false),
        ("o.missing: [null, A]", true),
        ("blank: ''", true),
        ("missing: ''", false),
        ("none: ''", false),
        ("n: '*'", true),
        ("none: '*'", false),
        ("missing: '*'", false),
        ("missing:", true),
        ("u: 'straße οδοσ'", true),
        ("A: 'x*'", false),
        ("n: [1, 2, 17]\na|startswith: x", true),
        ("n: 17\na: y", false),
        ("- n: 1\n- a|startswith: x", true),
        ("- n: 1\n- a: z", false),
        ("- n: 1\n- 'cmd.exe'", true),
    ] {
        selects(lines, &record, fires);
    }
    refused("a: {b: c}", "a.b");
    refused("a: [[x]]", "a.b");
    refused("a: []", "empty");
    refused("{}", "empty");
    refused("a: .inf", "YAML");
}

#[test]
fn field_names() {
    let record = json!({
        "annotations": {"authorization.k8s.io/decision": "forbid"}, "flat.name": "v",
        "l": [{"m": "a"}, {"m": "b"}],
        "x": {"l": [{"m": [{"n": "1"}, {"n": "2"}]}]},
    });
    for (lines, fires) in [
        ("annotations.authorization.k8s.io/decision: forbid", true),
        (r"annotations.authorization\.k8s\.io/decision: forbid", true),
        ("annotations.authorization.k8s.io/decision: null", false),
        ("annotations.authorization.k8s.io/decision|exists: true", true),
        ("annotations.authorization.k8s.io/other: null", true),
        ("flat.name: v", true),
        ("l[0].m: a", true),
        ("l[0].m: b", false),
        ("l[-1].m: b", true),
        ("l[2].m: null", true),
        ("x.l[0].m[1].n: 2", true),
        ("x.l.m.n: 1", true),
    ] {
        selects(lines, &record, fires);
    }
    refused("l[any].m: a", "no whole number");
    refused("a..b: c", "empty step");
}

#[test]
fn keywords() {
    let record = json!({"a": "foo", "b": {"c": ["Bar baz", 4711]}, "f": true, "none": null, "key": "x"});
    for (selection, fires) in [
        ("[foo, nothing]", true),
        ("[nothing]", false),
        ("foo", true),
        ("['BAR*Z']", true),
        ("['foo bar']", false),
        ("[4711]", true),
        ("[true]", true),
        ("{'|all': [foo, bar]}", true),
        ("{'|all': [foo, nothing]}", false),
        ("{'|all': [foo, 4711]}", true),
        ("{'|contains|all': [fo, ba]}", true),
        ("{'|contains': [nothing, ba]}", true),
        ("{'|startswith': baz}", false),
        ("{'|startswith': bar}", true),
        ("{'|re': 'B[a]r'}", true),
        ("{'|re|all': ['^foo$', '^x$']}", true),
        ("{'|cased': 'bar'}", false),
        ("{'|cased': 'Bar'}", true),
        ("{'|base64offset': foo}", false),
        ("{'|all': [foo, bar], key: x}", true),
        ("{'|all': [foo, bar], key: y}", false),
        ("[key]", false),
    ] {
        check(&format!("  s: {selection}\n  condition: s"), &record, fires);
    }
    let wrong = |selection: &str, reason| {
        refused_rule(&format!("{HEAD}detection:\n  s: {selection}\n  condition: s\n"), reason);
    };
    wrong("[foo, null]", "null is no keyword");
    wrong("['']", "empty keyword");
    wrong("[]", "empty");
    wrong("{'|exists': true}", "needs a field");
    wrong("{'|neq': a}", "needs a field");
}

#[test]
fn conditions() {
    let record = json!({"a": 1, "b": 2});
    let selections =
        "  sel_a: {a: 1}\n  sel_b: {b: 2}\n  sel_c: {c: 3}\n  filter_x: {a: 9}\n  _hidden: {a: 7}\n";
    for (condition, fires) in [
        ("sel_a", true),
        ("sel_a and sel_b", true),
        ("sel_a and sel_c", false),
        ("sel_c or sel_a", true),
        ("not sel_c", true),
        ("sel_a and not filter_x", true),
        ("sel_c or sel_a and not sel_b", false),
        ("(sel_c or sel_a) and sel_b", true),
        ("not (sel_a and sel_b)", false),
        ("1 of sel_*", true),
        ("all of sel_*", false),
        ("all of sel_a*", true),
        ("1 of *_x", false),
        ("1 of s*_c", false),
        ("1 of them", true),
        ("all of them", false),
        ("2 of sel_*", true),
        ("any of sel_*", true),
        ("1 of _hid*", false),
        ("[sel_c, sel_a]", true),
        ("[sel_c, filter_x]", false),
    ] {
        check(&format!("{selections}  timeframe: 5m\n  condition: {condition}"), &record, fires);
    }
    let wrong = |condition: &str, reason| {
        refused_rule(&format!("{HEAD}detection:\n{selections}  condition: {condition}\n"), reason);
    };
    wrong("selection", "\"selection\"");
    wrong("1 of selection_*", "selection_*");
    wrong("all of selection_*", "selection_*");
    wrong("sel_a | count() by b > 5", "correlation");
    wrong("sel_a and", "ends");
    wrong("4 of sel_*", "only 3");
    wrong("[]", "at least one");
    wrong("{a: b}", "a text");
    refused_rule(&format!("{HEAD}detection:\n  s: {{a: 1}}\n"), "no condition");
}
