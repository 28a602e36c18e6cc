//! A report as one HTML page for print: no scripts, nothing from elsewhere.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Report, score, text};

const STYLE: &str = "
@page { size: A4; margin: 18mm 15mm; }
body { font: 10pt/1.4 system-ui, sans-serif; color: #111; max-width: 75em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 18pt; margin-bottom: 0; } h2 { font-size: 13pt; margin-top: 2em; break-after: avoid; }
h3 { font-size: 11pt; margin-bottom: .3em; break-after: avoid; }
table { border-collapse: collapse; width: 100%; font-size: 8.5pt; } thead { display: table-header-group; }
th, td { border: 1px solid #bbb; padding: .25em .5em; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
tr { break-inside: avoid; } th { background: #eee; } code { font-size: 8pt; }
.fail { font-weight: bold; } .fail::before { content: '\\2717 '; } .pass::before { content: '\\2713 '; }
.waived::before { content: '\\25D2 '; } footer { margin-top: 3em; font-size: 8pt; color: #444; }
@media print { body { margin: 0; max-width: none; padding: 0; } a { color: inherit; text-decoration: none; } }
";

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    let title = format!("{} compliance report", escaped(&report.framework));
    put(
        &mut page,
        &format!("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>"),
    );
    put(&mut page, &format!("<style>{STYLE}</style></head><body><h1>{title}</h1>"));
    let project = report
        .project
        .as_deref()
        .map_or_else(|| "all projects".into(), |name| format!("project {}", escaped(name)));
    put(
        &mut page,
        &format!("<p>As of {}; {project}; {} resources.</p>", escaped(&report.as_of), report.resources),
    );
    summary(&mut page, &report.posture);
    put(&mut page, "<h2>Controls</h2>");
    let columns =
        ["control", "state", "passed", "failed", "waived", "not_evaluated", "evidence_newest", "policies"];
    table(&mut page, &columns, report.controls.iter());
    waivers(&mut page, report);
    put(&mut page, "<h2>Evidence</h2>");
    for control in &report.controls {
        evidence(&mut page, report, control);
    }
    put(
        &mut page,
        "<footer>A verdict names the policy by the SHA-256 of its text, and the event by its id and its place in the log \
         (topic, partition, offset), for which the audit log has a proof of inclusion. Absence of evidence is no pass.\
         </footer></body></html>\n",
    );
    page
}

fn put(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("a String takes everything");
}

fn summary(page: &mut String, posture: &Value) {
    put(page, "<h2>Summary</h2><table><tbody>");
    let rows = [
        ("Score", score(&posture["score"])),
        ("Score without waivers", score(&posture["score_without_waivers"])),
        ("Coverage", format!("{} % of the controls with policies", text(&posture["coverage_percent"]))),
        (
            "Controls",
            format!(
                "{} passed, {} failed, {} waived, {} not evaluated, {} without evidence, {} manual",
                text(&posture["passed"]),
                text(&posture["failed"]),
                text(&posture["waived"]),
                text(&posture["not_evaluated"]),
                text(&posture["no_evidence"]),
                text(&posture["manual"])
            ),
        ),
        (
            "Evidence",
            format!("from {} to {}", text(&posture["evidence_oldest"]), text(&posture["evidence_newest"])),
        ),
    ];
    for (name, value) in rows {
        put(page, &format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", escaped(&value)));
    }
    put(page, "</tbody></table>");
}

fn waivers(page: &mut String, report: &Report) {
    put(page, "<h2>Waivers in force</h2>");
    if report.waivers.is_empty() {
        put(page, "<p>None.</p>");
        return;
    }
    let columns = [
        "waiver",
        "owner",
        "requested_by",
        "granted_by",
        "granted_at",
        "expires_at",
        "reason",
        "policies",
        "resources",
    ];
    table(page, &columns, report.waivers.iter());
}

fn evidence(page: &mut String, report: &Report, control: &Value) {
    let id = control["control"].as_str().unwrap_or_default();
    put(page, &format!("<h3>{} {}</h3>", escaped(&report.framework), escaped(id)));
    let columns = [
        "status",
        "resource",
        "policy_id",
        "title",
        "severity",
        "reasons",
        "waiver",
        "observed_at",
        "event_id",
        "policy_hash",
    ];
    let mut rows = report.evidence(id).peekable();
    if rows.peek().is_none() {
        put(page, "<p>No resource was judged: no evidence.</p>");
        return;
    }
    table(page, &columns, rows);
}

fn table<'a>(page: &mut String, columns: &[&str], rows: impl Iterator<Item = &'a Value>) {
    put(page, "<table><thead><tr>");
    for column in columns {
        put(page, &format!("<th scope=\"col\">{}</th>", column.replace('_', " ")));
    }
    put(page, "</tr></thead><tbody>");
    for row in rows {
        let cells: String = columns.iter().map(|column| cell(column, &row[*column])).collect();
        put(page, &format!("<tr>{cells}</tr>"));
    }
    put(page, "</tbody></table>");
}

fn cell(column: &str, value: &Value) -> String {
    let told = escaped(&text(value));
    match column {
        "status" | "state" => format!("<td class=\"{told}\">{}</td>", told.replace('_', " ")),
        "policy_hash" | "event_id" => format!("<td><code>{told}</code></td>"),
        _ => format!("<td>{told}</td>"),
    }
}

/// The text with the characters that mean something in HTML written as entities.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
