//! Verdicts in the forms of other tools: SARIF 2.1.0 and JUnit's XML.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use policies::{Enforcement, PolicySet, Severity, Status, Verdict};
use serde_json::{Value, json};

use super::evaluate::Judged;

/// A SARIF 2.1.0 log with one run.
pub(super) fn sarif(set: &PolicySet, judged: &[Judged]) -> Value {
    let verdicts = || judged.iter().flat_map(|one| &one.verdicts);
    let used: BTreeSet<&str> = verdicts()
        .filter(|verdict| verdict.status != Status::Pass)
        .map(|verdict| verdict.policy_id.as_str())
        .collect();
    let rules: Vec<Value> = set
        .policies()
        .iter()
        .filter(|policy| used.contains(policy.id.as_str()))
        .map(|policy| {
            let mut rule = json!({
                "id": policy.id,
                "shortDescription": {"text": policy.title},
                "properties": {"security-severity": score(policy.severity), "controls": policy.controls},
            });
            // Readers refuse empty texts; constraints name no remediation.
            if !policy.remediation.is_empty() {
                rule["help"] = json!({"text": policy.remediation});
            }
            rule
        })
        .collect();
    let results: Vec<Value> = judged
        .iter()
        .flat_map(|one| one.verdicts.iter().map(move |verdict| (one, verdict)))
        .filter(|(_, verdict)| verdict.status != Status::Pass)
        .map(|(one, verdict)| result(one, verdict))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "weir", "version": env!("CARGO_PKG_VERSION"), "rules": rules,
            }},
            "results": results,
        }],
    })
}

fn result(judged: &Judged, verdict: &Verdict) -> Value {
    let level = match (verdict.status, verdict.enforcement, verdict.severity) {
        (Status::Fail, Enforcement::Deny, Severity::High | Severity::Critical) => "error",
        (Status::Fail | Status::Error, ..) => "warning",
        (Status::NotEvaluated | Status::Pass, ..) => "note",
    };
    let kind = match verdict.status {
        Status::Fail | Status::Error => "fail",
        Status::NotEvaluated => "open",
        Status::Pass => "pass",
    };
    // SARIF allows a level other than none for failures alone.
    let level = if kind == "fail" { level } else { "none" };
    json!({
        "ruleId": verdict.policy_id,
        "level": level,
        "kind": kind,
        "message": {"text": told(verdict)},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": uri(&judged.file)}},
            "logicalLocations": [{"fullyQualifiedName": verdict.resource, "kind": "resource"}],
        }],
    })
}

/// Bytes that a path within a URI may hold as they are: RFC 3986's unreserved ones and the slash.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A file's path as a URI: relative ones stay so, for they are relative to the checkout.
fn uri(file: &str) -> String {
    let path = utf8_percent_encode(file, PATH);
    if file.starts_with('/') { format!("file://{path}") } else { path.to_string() }
}

/// The number by which code scanning ranks findings, from 0 to 10.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "3.0",
        Severity::Medium => "5.0",
        Severity::High => "8.0",
        Severity::Critical => "9.5",
    }
}

fn told(verdict: &Verdict) -> String {
    let resource = if verdict.resource.is_empty() { "the document" } else { &verdict.resource };
    format!("{resource}: {}", verdict.reasons.join("; "))
}

/// A suite for each file, a case for each verdict.
pub(super) fn junit(judged: &[Judged]) -> String {
    let mut lines = vec![
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned(),
        "<testsuites name=\"weir policy\">".to_owned(),
    ];
    for one in judged {
        let count = |status: Status| one.verdicts.iter().filter(|verdict| verdict.status == status).count();
        lines.push(format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
            escaped(&one.file),
            one.verdicts.len(),
            count(Status::Fail),
            count(Status::Error),
            count(Status::NotEvaluated),
        ));
        lines.extend(one.verdicts.iter().map(case));
        lines.push("  </testsuite>".to_owned());
    }
    lines.push("</testsuites>".to_owned());
    lines.join("\n")
}

fn case(verdict: &Verdict) -> String {
    let (name, class) = (escaped(&verdict.policy_id), escaped(&verdict.resource));
    let reason = escaped(&verdict.reasons.join("; "));
    let outcome = match verdict.status {
        Status::Pass => String::new(),
        Status::Fail => {
            let (severity, cure) = (verdict.severity.name(), escaped(&verdict.remediation));
            format!("<failure type=\"{severity}\" message=\"{reason}\">{cure}</failure>")
        }
        Status::Error => format!("<error message=\"{reason}\"/>"),
        Status::NotEvaluated => format!("<skipped message=\"{reason}\"/>"),
    };
    format!("    <testcase classname=\"{class}\" name=\"{name}\">{outcome}</testcase>")
}

/// The text as XML has it; characters that XML does not know are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => out.push(' '),
            _ if symbol.is_control() || matches!(symbol, '\u{fffe}' | '\u{ffff}') => {}
            _ => out.push(symbol),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_uris() {
        assert_eq!(uri("k8s/my pod#1.yaml"), "k8s/my%20pod%231.yaml");
        assert_eq!(uri("/plans/ä.json"), "file:///plans/%C3%A4.json");
    }

    #[test]
    fn texts_are_escaped_for_xml() {
        assert_eq!(escaped("a<b> & \"c\"\n\u{1}d"), "a&lt;b&gt; &amp; &quot;c&quot; d");
    }
}
