//! The statements of the specification 2.1 about the heads of rules, their files, and filters.

use serde_json::json;

use super::{HEAD, load, refused_rule};

#[test]
fn heads_of_rules() {
    let detection = "detection:\n  s: {a: 1}\n  condition: s\n";
    for (level, name, score) in [
        ("level: informational\n", "informational", 5),
        ("level: Low\n", "low", 21),
        ("level: MEDIUM\n", "medium", 47),
        ("level: High\n", "high", 73),
        ("level: critical\n", "critical", 99),
        ("", "informational", 5),
    ] {
        let (engine, problems) = load(&format!("{HEAD}{detection}{level}"));
        assert_eq!(problems, []);
        let rule = engine.rules().next().expect("a rule").1;
        assert_eq!((rule.level.name(), rule.score), (name, score));
    }
    refused_rule(&format!("{HEAD}{detection}level: severe\n"), "\"severe\"");
    refused_rule(&format!("{HEAD}{detection}level: 5\n"), "the level 5");
    refused_rule(&format!("{HEAD}{detection}status: unsupported\n"), "unsupported");
    refused_rule(&format!("{HEAD}{detection}taxonomy: ecs\n"), "taxonomy");
    refused_rule(&format!("logsource: {{product: aws, service: cloudtrail}}\n{detection}"), "no title");
    refused_rule(&format!("title: x\n{detection}"), "no logsource");
    refused_rule(HEAD, "no detection");
    refused_rule(&format!("title: x\nlogsource: {{product: windows}}\n{detection}"), "no format");
    refused_rule(&format!("{HEAD}{detection}tags: {{a: b}}\n"), "tags");
}

#[test]
fn files_of_several_documents() {
    let text = "\u{feff}action: global\nlogsource: {product: aws, service: cloudtrail}\nlevel: high\n---\n\
                title: One\nid: one\ndetection: {s: {a: 1}, condition: s}\n---\n\
                action: repeat\ntitle: Two\nid: two\ndetection: {s: {a: 2}}\n---\n\
                action: reset\n---\n\
                title: Three\nid: three\ndetection: {s: {a: 3}, condition: s}\n";
    let (engine, problems) = load(text);
    let ids: Vec<&str> = engine.rules().map(|(_, rule)| rule.id.as_str()).collect();
    assert_eq!(ids, ["one", "two"]);
    assert_eq!(problems.len(), 1, "the third has no logsource any more");
    assert!(problems[0].reason.contains("no logsource") && problems[0].title.as_deref() == Some("Three"));
    let fire = |n: i32| {
        let hits = engine.evaluate("aws.cloudtrail", &json!({"a": n}).to_string()).expect("JSON");
        hits.iter().map(|hit| hit.rule.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!((fire(1), fire(2), fire(3)), (vec!["one".into()], vec!["two".into()], vec![]));
}

#[test]
fn a_problem_stands_at_the_line_of_its_key() {
    let rule = "title: A rule\nlogsource:\n    product: aws\n    service: cloudtrail\ndetection:\n    s:\n\
                \x20       a|frob: x\n    condition: s\n---\n\
                title: Other\nlogsource:\n    product: aws\n    service: cloudtrail\ndetection:\n    s:\n\
                \x20       a: x\n    condition: t\nlevel: high\n";
    let (_, problems) = load(rule);
    let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(7), Some(17)], "{problems:?}");
}

#[test]
fn filters() {
    let rules = "title: One\nid: one\nname: first\nlogsource: {product: aws, service: cloudtrail}\n\
                 detection: {s: {a: 1}, condition: s}\nlevel: high\n---\n\
                 title: Two\nid: two\nlogsource: {product: aws, service: cloudtrail}\n\
                 detection: {s: {a: 1}, condition: s}\nlevel: high\n---\n";
    let filter = |logsource: &str, section: &str| {
        format!("{rules}title: Our administrators\nlogsource: {{{logsource}}}\nfilter:\n{section}")
    };
    let aws = "product: aws, service: cloudtrail";
    let fire = |text: &str, user: &str| {
        let (engine, problems) = load(text);
        assert_eq!(problems, [], "{text}");
        let record = json!({"a": 1, "user": user}).to_string();
        let hits = engine.evaluate("aws.cloudtrail", &record).expect("JSON");
        hits.iter().map(|hit| hit.rule.id.clone()).collect::<Vec<_>>().join(" ")
    };
    let admins = "  selection: {user|startswith: adm_}\n";
    for (section, admin, other) in [
        (format!("  rules: [one]\n{admins}  condition: selection\n"), "two", "one two"),
        (format!("  rules: first\n{admins}  condition: not selection\n"), "two", "one two"),
        (format!("  rules: [one, two]\n{admins}  condition: selection\n"), "", "one two"),
        (format!("  rules: any\n{admins}  condition: selection\n"), "", "one two"),
        (
            format!("  rules: [one]\n{admins}  other: {{a: 1}}\n  condition: selection and other\n"),
            "two",
            "one two",
        ),
        (
            format!(
                "  rules: [one]\n{admins}  other: {{user: eve}}\n  condition: not selection and not other\n"
            ),
            "two",
            "two",
        ),
    ] {
        let text = filter(aws, &section);
        assert_eq!(
            (fire(&text, "adm_ada").as_str(), fire(&text, "eve").as_str()),
            (admin, other),
            "{section}"
        );
    }
    let text = filter("product: aws", &format!("  rules: any\n{admins}  condition: selection\n"));
    assert_eq!(fire(&text, "adm_ada"), "", "a logsource that says less");
    for (logsource, section, reason) in [
        (aws, format!("{admins}  condition: selection\n"), "`rules`"),
        (aws, format!("  rules: [three]\n{admins}  condition: selection\n"), "\"three\""),
        (aws, format!("  rules: [one]\n{admins}\n"), "no condition"),
        (aws, format!("  rules: [one]\n{admins}  condition: other\n"), "\"other\""),
        (
            aws,
            format!("  rules: [one]\n{admins}  o: {{b: 1}}\n  condition: selection and not o\n"),
            "says both",
        ),
        ("product: okta", format!("  rules: any\n{admins}  condition: selection\n"), "has its logsource"),
    ] {
        let (engine, problems) = load(&filter(logsource, &section));
        assert_eq!((engine.rules().count(), problems.len()), (2, 1), "{section}: {problems:?}");
        assert!(problems[0].reason.contains(reason), "{}", problems[0]);
    }
}
