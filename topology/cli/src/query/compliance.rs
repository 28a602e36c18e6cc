//! `weir query compliance`: posture, controls, findings, resources, scorecards and waivers, as of any instant.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Api, print, printable};
use crate::output::{self, Format};

/// Maximum number of policies that a row of a table names.
const MAX_POLICIES_SHOWN: usize = 3;

/// Arguments of `weir query compliance`.
#[derive(Debug, Args)]
pub(super) struct ComplianceArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Frameworks: controls that pass and fail, coverage, and scores with and without waivers.
    Posture {
        /// Only this framework, with its controls.
        #[arg(long)]
        framework: Option<String>,
        /// Only resources of this project.
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        view: View,
    },
    /// One control in every framework that names it, with its evidence.
    Control {
        /// Its id as policies name it, for example `164.312(b)`.
        id: String,
        /// Only in this framework.
        #[arg(long)]
        framework: Option<String>,
        #[command(flatten)]
        view: View,
    },
    /// Findings, those that opened last first.
    Findings {
        /// open, waived or closed.
        #[arg(long)]
        status: Option<String>,
        /// critical, high, medium or low.
        #[arg(long)]
        severity: Option<String>,
        /// Only those that are open beyond their time.
        #[arg(long)]
        overdue: bool,
        /// The policy's id.
        #[arg(long)]
        policy: Option<String>,
        /// The resource's id.
        #[arg(long)]
        resource: Option<String>,
        /// The resource's project.
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        view: View,
    },
    /// One resource: its state, verdicts, findings and observations.
    Resource {
        /// Its id.
        id: String,
        #[command(flatten)]
        view: View,
    },
    /// Scorecards of projects.
    Scorecards {
        /// Only this project.
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        view: View,
    },
    /// Waivers: what each waives, who asked for it and who granted it.
    Waivers {
        /// requested, in_force, expired, rejected, revoked or ineffective.
        #[arg(long)]
        status: Option<String>,
        /// A policy that it names.
        #[arg(long)]
        policy: Option<String>,
        /// A resource that it names.
        #[arg(long)]
        resource: Option<String>,
        #[command(flatten)]
        view: View,
    },
}

/// From when, how much, and how it is printed.
#[derive(Debug, Args)]
struct View {
    /// Instant of the answer, RFC 3339, or a day (its end, UTC); now by default.
    #[arg(long)]
    as_of: Option<String>,
    /// The most rows to print.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl View {
    /// The given parameters and the instant.
    fn with(&self, given: &[(&'static str, &Option<String>)]) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut parameters: Vec<_> =
            given.iter().filter_map(|(name, value)| Some((*name, (*value).clone()?))).collect();
        if let Some(as_of) = &self.as_of {
            parameters.push(("as_of", instant(as_of)?));
        }
        Ok(parameters)
    }
}

/// An instant as the query API takes it: a day stands for its last microsecond.
///
/// # Errors
/// The text is neither an instant nor a day.
pub(crate) fn instant(text: &str) -> anyhow::Result<String> {
    if chrono::DateTime::parse_from_rfc3339(text).is_ok() {
        return Ok(text.to_owned());
    }
    match text.parse::<chrono::NaiveDate>() {
        Ok(day) => Ok(format!("{day}T23:59:59.999999Z")),
        Err(_) => bail!("{text:?} is neither an instant as in RFC 3339 nor a day such as 2026-01-31"),
    }
}

/// An id as one segment of a path.
fn segment(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn borrowed<'a>(parameters: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    parameters.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Asks and prints.
pub(super) async fn compliance(api: &Api, args: &ComplianceArgs) -> anyhow::Result<()> {
    match &args.what {
        What::Posture { framework, project, view } => {
            let parameters = view.with(&[("framework", framework), ("project", project)])?;
            let answer = api.get("/api/v1/compliance/posture", &borrowed(&parameters)).await?;
            if view.output != Format::Table {
                return output::json(&answer);
            }
            posture_table(rows(&answer["frameworks"]));
            if framework.is_some() {
                controls_table(rows(&answer["controls"]));
            }
            Ok(())
        }
        What::Control { id, framework, view } => {
            let mut parameters = view.with(&[("framework", framework)])?;
            parameters.push(("limit", view.limit.min(1_000).to_string()));
            let path = format!("/api/v1/compliance/controls/{}", segment(id));
            let answer = api.get(&path, &borrowed(&parameters)).await?;
            if view.output != Format::Table {
                return output::json(&answer);
            }
            for one in rows(&answer["frameworks"]) {
                output::line(&text(&one["framework"]));
                controls_table(std::slice::from_ref(&one["control"]));
                verdicts_table(rows(&one["evidence"]));
            }
            Ok(())
        }
        What::Resource { id, view } => {
            let path = format!("/api/v1/compliance/resources/{}", segment(id));
            let answer = api.get(&path, &borrowed(&view.with(&[])?)).await?;
            if view.output != Format::Table {
                return output::json(&answer);
            }
            let item = &answer["item"];
            let words = ["resource", "resource_type", "presence", "since"].map(|name| text(&item[name]));
            output::line(&words.join(" "));
            verdicts_table(rows(&item["verdicts"]));
            findings_table(rows(&item["findings"]));
            Ok(())
        }
        What::Findings { status, severity, overdue, policy, resource, project, view } => {
            let overdue = overdue.then(|| "true".to_owned());
            let given = [
                ("status", status),
                ("severity", severity),
                ("overdue", &overdue),
                ("policy", policy),
                ("resource", resource),
                ("project", project),
            ];
            list(api, "findings", (&given, view), findings_table).await
        }
        What::Scorecards { project, view } => {
            list(api, "scorecards", (&[("project", project)], view), scorecards_table).await
        }
        What::Waivers { status, policy, resource, view } => {
            let given = [("status", status), ("policy", policy), ("resource", resource)];
            list(api, "waivers", (&given, view), waivers_table).await
        }
    }
}

async fn list(
    api: &Api,
    what: &str,
    (given, view): (&[(&'static str, &Option<String>)], &View),
    table: fn(&[Value]),
) -> anyhow::Result<()> {
    let parameters = view.with(given)?;
    let path = format!("/api/v1/compliance/{what}");
    let items = api.pages(&path, &borrowed(&parameters), view.limit).await?;
    print(&items, view.output, table)
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A value as people read it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A score with its band, or a dash without evidence.
pub(crate) fn score(value: &Value) -> String {
    match value["value"].as_u64() {
        Some(score) => format!("{score} {}", text(&value["band"])),
        None => "–".to_owned(),
    }
}

fn table_of(columns: &[&str], rows: &[Value], when_empty: &str) {
    let mut table = output::table(columns);
    for row in rows {
        table.add_row(columns.iter().map(|column| text(&row[*column])));
    }
    output::print_table(&table, when_empty);
}

pub(crate) fn posture_table(rows: &[Value]) {
    let columns = ["framework", "passed", "failed", "waived", "not_evaluated", "no_evidence"];
    let header =
        columns.iter().copied().chain(["coverage", "score", "without waivers", "evidence from", "to"]);
    let mut table = output::table(&header.collect::<Vec<_>>());
    for row in rows {
        let cells = columns.iter().map(|column| text(&row[*column]));
        table.add_row(cells.chain([
            format!("{} %", row["coverage_percent"]),
            score(&row["score"]),
            score(&row["score_without_waivers"]),
            text(&row["evidence_oldest"]),
            text(&row["evidence_newest"]),
        ]));
    }
    output::print_table(&table, "no resource was judged by then, and no policy is in force");
}

pub(crate) fn controls_table(rows: &[Value]) {
    let columns =
        ["control", "state", "passed", "failed", "waived", "not_evaluated", "evidence_newest", "policies"];
    let rows: Vec<Value> = rows.iter().cloned().map(with_few_policies).collect();
    table_of(&columns, &rows, "the framework has no control");
}

/// A control with the first three of its policies: it may have a hundred, which the other forms name.
fn with_few_policies(mut control: Value) -> Value {
    if let Some(policies) = control.get_mut("policies").and_then(Value::as_array_mut)
        && policies.len() > MAX_POLICIES_SHOWN
    {
        let more = policies.len() - MAX_POLICIES_SHOWN;
        policies.truncate(MAX_POLICIES_SHOWN);
        policies.push(Value::from(format!("and {more} more")));
    }
    control
}

pub(crate) fn verdicts_table(rows: &[Value]) {
    table_of(
        &["resource", "policy_id", "status", "reasons", "waiver", "observed_at"],
        rows,
        "there is no verdict",
    );
}

fn findings_table(rows: &[Value]) {
    let columns =
        ["status", "severity", "resource", "policy_id", "opened_at", "due_at", "overdue", "reopened"];
    table_of(&columns, rows, "there is no finding");
}

fn scorecards_table(rows: &[Value]) {
    let mut table = output::table(&["project", "tier", "compliance", "security", "quality", "performance"]);
    for row in rows {
        let scores = ["compliance", "security", "quality", "performance"].map(|name| score(&row[name]));
        table.add_row([text(&row["project"]), text(&row["tier"])].into_iter().chain(scores));
    }
    output::print_table(&table, "no project has evidence");
}

fn waivers_table(rows: &[Value]) {
    let columns =
        ["waiver", "status", "owner", "requested_by", "granted_by", "expires_at", "policies", "resources"];
    table_of(&columns, rows, "there is no waiver");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_stands_for_its_end() {
        assert_eq!(instant("2026-01-31").expect("a day"), "2026-01-31T23:59:59.999999Z");
        assert_eq!(instant("2026-01-31T10:00:00+01:00").expect("an instant"), "2026-01-31T10:00:00+01:00");
        for bad in ["yesterday", "2026-02-30", "2026-01-31T10:00:00", ""] {
            assert!(instant(bad).is_err(), "{bad}");
        }
        assert_eq!(segment("a/b(c)"), "a%2Fb%28c%29");
    }
}
