//! `weir compliance report`: the posture of a framework at an instant, for auditors.

mod html;
mod oscal;

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{
    Outcome,
    output::{self, note},
    place::Place,
    query::{
        Api,
        compliance::{controls_table, instant, posture_table, score, text, verdicts_table},
    },
    settings::Trust,
};

/// Columns of the CSV file, one row for each control and verdict.
const COLUMNS: [&str; 20] = [
    "framework",
    "as_of",
    "control",
    "control_state",
    "resource",
    "resource_type",
    "project",
    "policy_id",
    "policy_hash",
    "title",
    "severity",
    "status",
    "reasons",
    "waiver",
    "waived_until",
    "observed_at",
    "event_id",
    "topic",
    "partition",
    "offset",
];

/// Arguments of `weir compliance report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The framework as policies name it, in any case, for example HIPAA; `weir compliance frameworks` lists them.
    framework: String,
    /// The instant, RFC 3339, or a day (its end, UTC); now by default.
    #[arg(long)]
    as_of: Option<String>,
    /// Only resources of this project.
    #[arg(long)]
    project: Option<String>,
    /// A table for the terminal, JSON, CSV with a row for every verdict, or HTML for print.
    #[arg(long, visible_alias = "format", value_enum, default_value_t = Form::Table)]
    output: Form,
    /// The file to write; standard output without it.
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
    Csv,
    Html,
    /// OSCAL 1.1.3 assessment results, JSON.
    OscalAr,
    /// OSCAL 1.1.3 plan of action and milestones, JSON: an item for each failure.
    OscalPoam,
}

/// A framework's posture, with every verdict that is evidence for it.
pub(super) struct Report {
    pub(super) framework: String,
    pub(super) as_of: String,
    pub(super) project: Option<String>,
    pub(super) resources: Value,
    pub(super) posture: Value,
    pub(super) controls: Vec<Value>,
    pub(super) verdicts: Vec<Value>,
    pub(super) waivers: Vec<Value>,
    /// By resource and policy, until when a failure ought to be gone.
    pub(super) due: BTreeMap<(String, String), String>,
}

/// The report as a page.
pub(super) fn page(report: &Report) -> String {
    html::page(report)
}

/// Asks for everything, and writes it.
pub(super) async fn report(args: ReportArgs) -> anyhow::Result<Outcome> {
    let api = Api::of(&Place::find().await?, &args.trust)?;
    let as_of = match &args.as_of {
        Some(text) => instant(text)?,
        None => chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
    };
    if args.output == Form::Table && args.file.is_some() {
        bail!("--file takes --output json, csv, html, oscal-ar or oscal-poam");
    }
    let mut report = Report::read(&api, (&args.framework, args.project.as_deref()), as_of).await?;
    if matches!(args.output, Form::OscalAr | Form::OscalPoam) {
        report.read_due(&api).await?;
    }
    let content = match args.output {
        Form::Table => {
            report.print();
            return Ok(Outcome::Done);
        }
        Form::Json => report.json().to_string() + "\n",
        Form::Csv => report.csv()?,
        Form::Html => html::page(&report),
        Form::OscalAr => oscal::assessment_results(&report).to_string() + "\n",
        Form::OscalPoam => match oscal::plan_of_action(&report) {
            Some(plan) => plan.to_string() + "\n",
            None => bail!(
                "nothing fails for {} as of {}: OSCAL knows no plan of action without items",
                report.framework,
                report.as_of
            ),
        },
    };
    match &args.file {
        Some(file) => {
            fs::write(file, content).with_context(|| format!("{} cannot be written", file.display()))?;
            note(&format!(
                "{}: {} controls, {} verdicts",
                file.display(),
                report.controls.len(),
                report.verdicts.len()
            ));
        }
        None => output::line(content.trim_end_matches('\n')),
    }
    Ok(Outcome::Done)
}

impl Report {
    /// Everything about one framework at one instant.
    pub(super) async fn read(
        api: &Api,
        (framework, project): (&str, Option<&str>),
        as_of: String,
    ) -> anyhow::Result<Self> {
        let mut view = vec![("as_of", as_of.as_str())];
        view.extend(project.map(|project| ("project", project)));
        let all = api.get("/api/v1/compliance/posture", &view).await?;
        let names =
            || all["frameworks"].as_array().into_iter().flatten().filter_map(|one| one["framework"].as_str());
        let Some(framework) = names().find(|name| name.eq_ignore_ascii_case(framework)) else {
            bail!(
                "no policy names the framework {framework:?}; there are {}",
                names().collect::<Vec<_>>().join(", ")
            );
        };
        let mut of_one = view.clone();
        of_one.push(("framework", framework));
        let mut answer = api.get("/api/v1/compliance/posture", &of_one).await?;
        let verdicts = api.pages("/api/v1/compliance/verdicts", &of_one, u64::MAX).await?;
        let in_force = [("as_of", as_of.as_str()), ("status", "in_force")];
        let waivers = api.pages("/api/v1/compliance/waivers", &in_force, u64::MAX).await?;
        let Value::Array(controls) = answer["controls"].take() else {
            bail!("the query API answered without controls; is it a Weir of this version?")
        };
        Ok(Self {
            framework: framework.to_owned(),
            project: project.map(str::to_owned),
            resources: answer["resources"].take(),
            posture: answer["frameworks"][0].take(),
            controls,
            verdicts,
            waivers,
            due: BTreeMap::new(),
            as_of,
        })
    }

    /// Asks until when each failure ought to be gone.
    async fn read_due(&mut self, api: &Api) -> anyhow::Result<()> {
        let mut view = vec![("as_of", self.as_of.as_str())];
        view.extend(self.project.as_deref().map(|project| ("project", project)));
        let findings = api.pages("/api/v1/compliance/findings", &view, u64::MAX).await?;
        let open = findings.iter().filter(|finding| finding["status"] != "closed");
        self.due = open
            .map(|one| ((text(&one["resource"]), text(&one["policy_id"])), text(&one["due_at"])))
            .collect();
        Ok(())
    }

    fn print(&self) {
        output::line(&format!("{} as of {}, {} resources", self.framework, self.as_of, self.resources));
        posture_table(std::slice::from_ref(&self.posture));
        controls_table(&self.controls);
        let failing: Vec<Value> =
            self.verdicts.iter().filter(|verdict| verdict["status"] == "fail").cloned().collect();
        if !failing.is_empty() {
            output::line("");
            verdicts_table(&failing);
        }
    }

    fn json(&self) -> Value {
        json!({
            "framework": self.framework,
            "as_of": self.as_of,
            "project": self.project,
            "resources": self.resources,
            "posture": self.posture,
            "controls": self.controls,
            "verdicts": self.verdicts,
            "waivers": self.waivers,
        })
    }

    /// The verdicts that are evidence for a control.
    fn evidence<'a>(&'a self, control: &'a str) -> impl Iterator<Item = &'a Value> {
        self.verdicts.iter().filter(move |verdict| {
            let ids = verdict["controls"][&self.framework].as_array();
            ids.into_iter().flatten().any(|id| id == control)
        })
    }

    /// One row for each control and verdict; a control without a verdict has a row of its own.
    fn csv(&self) -> anyhow::Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(COLUMNS)?;
        for control in &self.controls {
            let id = control["control"].as_str().unwrap_or_default();
            let begin = [
                self.framework.clone(),
                self.as_of.clone(),
                cell(&control["control"]),
                cell(&control["state"]),
            ];
            let mut rows = 0;
            for verdict in self.evidence(id) {
                let rest = COLUMNS[begin.len()..].iter().map(|column| cell(&verdict[*column]));
                csv.write_record(begin.iter().cloned().chain(rest))?;
                rows += 1;
            }
            if rows == 0 {
                let empty = std::iter::repeat_n(String::new(), COLUMNS.len() - begin.len());
                csv.write_record(begin.into_iter().chain(empty))?;
            }
        }
        Ok(String::from_utf8(csv.into_inner().context("the CSV writer")?)?)
    }
}

/// A value as a cell. A text that a spreadsheet would take for a formula begins with an apostrophe.
fn cell(value: &Value) -> String {
    let told = match value {
        Value::Null => String::new(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join("; "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if told.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{told}") } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(resource: &str, control: &str, status: &str) -> Value {
        json!({"resource": resource, "resource_type": "t", "project": null, "policy_id": "p", "policy_hash": "h",
               "title": "<b>", "severity": "high", "status": status, "reasons": ["a, b", "c"], "waiver": null,
               "waived_until": null, "observed_at": "2026-01-01T00:00:00Z", "event_id": "e", "topic": "t", "partition": 0,
               "offset": 7, "controls": {"F": [control]}})
    }

    pub(super) fn of_two() -> Report {
        Report {
            framework: "F".into(),
            as_of: "2026-01-31T23:59:59.999999Z".into(),
            project: None,
            resources: json!(2),
            posture: json!({"framework": "F", "passed": 0, "failed": 1, "coverage_percent": 50,
                            "score": {"value": 0, "band": "poor", "capped_by": null}, "score_without_waivers": null}),
            controls: vec![
                json!({"control": "1", "state": "fail", "policies": ["p"]}),
                json!({"control": "2", "state": "no_evidence", "policies": []}),
            ],
            verdicts: vec![verdict("=cmd", "1", "fail"), verdict("<script>", "1", "pass")],
            waivers: vec![
                json!({"waiver": "w", "owner": "olga & co", "resources": ["r"], "policies": ["p"]}),
            ],
            due: [(("=cmd".to_owned(), "p".to_owned()), "2026-03-01T00:00:00Z".to_owned())].into(),
        }
    }

    #[test]
    fn a_csv_file_has_a_row_for_every_verdict_and_control() {
        let text = of_two().csv().expect("a file");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("rows");
        let told: Vec<_> = rows.iter().map(|row| (&row[2], &row[3], &row[4], &row[11], &row[12])).collect();
        let expected = [
            ("1", "fail", "'=cmd", "fail", "a, b; c"),
            ("1", "fail", "<script>", "pass", "a, b; c"),
            ("2", "no_evidence", "", "", ""),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_page_shows_everything_and_runs_nothing() {
        let page = html::page(&of_two());
        for wanted in ["F", "&lt;script&gt;", "olga &amp; co", "no evidence", "@page", "2026-01-31"] {
            assert!(page.contains(wanted), "{wanted}");
        }
        assert!(!page.contains("<script") && !page.contains("http"), "no scripts and no other hosts");
    }
}
