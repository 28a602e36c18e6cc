//! `weir query`: what the query API answers, as a table or JSON.

pub(super) mod changes;
pub(super) mod compliance;
mod cost;
mod outlook;
mod recommendations;
mod risk;

pub(super) use cost::{BudgetsArgs, DaysArgs, budgets};

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

pub(super) use super::output::printable;
use super::{
    Outcome,
    output::{self, Format},
    place::Place,
    settings::Trust,
    status::client,
};

/// The most that the API gives at once.
const PAGE: usize = 1_000;
/// Maximum repetitions of a query that came too soon, and the longest wait before one.
const PATIENCE: u32 = 20;
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Arguments of `weir query`.
#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    trust: Trust,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Audit entries, newest first.
    Audit(Box<AuditArgs>),
    /// Proposed changes: their scores, approvals and progress, those with news first; or one of them whole.
    Changes(Box<changes::ChangesArgs>),
    /// Costs over time and by dimension, as known at any instant.
    Cost(Box<cost::CostArgs>),
    /// Compliance: posture, controls, findings, resources, scorecards and waivers, as of any instant.
    Compliance(Box<compliance::ComplianceArgs>),
    /// Budgets: what may be spent, what is, and which thresholds were reached.
    Budgets(cost::BudgetsArgs),
    /// Days that cost more or less than expected, each with what is behind it; those of the last 30 days by default.
    Anomalies(outlook::AnomaliesArgs),
    /// Forecast of the costs of future days.
    Forecast(outlook::ForecastArgs),
    /// Entities at risk: the leaderboard, or one entity with its reasons.
    Risk(Box<risk::RiskArgs>),
    /// Incidents, newest first, or one with the decisions about it.
    Incidents(Box<risk::IncidentsArgs>),
    /// Events that should have counted for risk and could not, and why.
    Unusable(risk::UnusableArgs),
}

#[derive(Debug, Args)]
struct AuditArgs {
    /// Show one entry, with its whole record.
    #[arg(long, value_name = "EVENT_ID", exclusive = false)]
    id: Option<String>,
    #[command(flatten)]
    filters: AuditSelection,
    /// The most entries to print.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Filter on audit entries.
#[derive(Debug, Args)]
pub(super) struct AuditFilters {
    /// Actor: the exact id.
    #[arg(long)]
    actor: Option<String>,
    /// The action, as the source names it.
    #[arg(long)]
    action: Option<String>,
    /// One of the action's resources: the exact id.
    #[arg(long)]
    resource: Option<String>,
    /// The project of the resource or of the delivery.
    #[arg(long)]
    project: Option<String>,
    /// The kind of event, for example SignedIn.
    #[arg(long)]
    kind: Option<String>,
    /// success, failure or unknown.
    #[arg(long)]
    outcome: Option<String>,
    /// The system that observed it.
    #[arg(long)]
    source: Option<String>,
    /// The earliest instant, RFC 3339, inclusive.
    #[arg(long)]
    from: Option<String>,
    /// The latest instant, RFC 3339, exclusive.
    #[arg(long)]
    to: Option<String>,
    /// Everything of one undertaking.
    #[arg(long)]
    correlation: Option<String>,
    /// A part of the actor, action or resource, in any case.
    #[arg(long)]
    text: Option<String>,
    /// The address that it was done from, as the source wrote it.
    #[arg(long)]
    address: Option<String>,
}

/// Filter on audit entries, or a saved one.
#[derive(Debug, Args)]
pub(super) struct AuditSelection {
    /// The filter that is saved under this name; other filters take the place of its own.
    #[arg(long, value_name = "NAME")]
    saved: Option<String>,
    #[command(flatten)]
    filters: AuditFilters,
}

impl AuditSelection {
    /// The filter as the query API takes it.
    pub(super) fn parameters(&self) -> Vec<(&'static str, &str)> {
        let saved = self.saved.as_deref().map(|name| ("saved", name));
        saved.into_iter().chain(self.filters.parameters()).collect()
    }
}

impl AuditFilters {
    /// The filter as the query API takes it.
    pub(super) fn parameters(&self) -> Vec<(&'static str, &str)> {
        [
            ("actor", &self.actor),
            ("action", &self.action),
            ("resource", &self.resource),
            ("project", &self.project),
            ("kind", &self.kind),
            ("outcome", &self.outcome),
            ("source", &self.source),
            ("from", &self.from),
            ("to", &self.to),
            ("correlation", &self.correlation),
            ("text", &self.text),
            ("address", &self.address),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect()
    }
}

/// Asks and prints.
pub(super) async fn query(args: QueryArgs) -> anyhow::Result<Outcome> {
    let api = Api::of(&Place::find().await?, &args.trust)?;
    match args.what {
        What::Audit(args) => audit(&api, &args).await?,
        What::Changes(args) => changes::changes(&api, &args).await?,
        What::Cost(args) => cost::cost(&api, &args).await?,
        What::Compliance(args) => compliance::compliance(&api, &args).await?,
        What::Budgets(args) => cost::budgets(&api, &args).await?,
        What::Anomalies(args) => outlook::anomalies(&api, &args).await?,
        What::Forecast(args) => outlook::forecast(&api, &args).await?,
        What::Risk(args) => risk::risk(&api, &args).await?,
        What::Incidents(args) => risk::incidents(&api, &args).await?,
        What::Unusable(args) => risk::unusable(&api, &args).await?,
    }
    Ok(Outcome::Done)
}

async fn audit(api: &Api, args: &AuditArgs) -> anyhow::Result<()> {
    if let Some(id) = &args.id {
        return output::json(&api.get(&format!("/api/v1/audit/{id}"), &[]).await?);
    }
    let entries = api.pages("/api/v1/audit", &args.filters.parameters(), args.limit).await?;
    print(&entries, args.output, print_table)
}

/// Prints entries that a saved search finds, newest first.
pub(super) async fn saved(api: &Api, name: &str, limit: u64, format: Format) -> anyhow::Result<()> {
    let entries = api.pages("/api/v1/audit", &[("saved", name)], limit).await?;
    print(&entries, format, print_table)
}

/// Prints items in the wanted form.
pub(super) fn print(items: &[Value], format: Format, table: fn(&[Value])) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json(&items),
        Format::Ndjson => items.iter().try_for_each(output::json),
        Format::Table => {
            table(items);
            Ok(())
        }
    }
}

/// The query API of a place.
pub(super) struct Api {
    url: String,
    token: String,
    client: reqwest::Client,
}

impl Api {
    pub(super) fn of(place: &Place, trust: &Trust) -> anyhow::Result<Self> {
        let (url, token) = place.query_api()?;
        Ok(Self { url, token, client: client(&trust.over(place.settings.client.clone()))? })
    }

    /// Pages until the limit is reached or nothing is left.
    pub(super) async fn pages(
        &self,
        path: &str,
        filters: &[(&str, &str)],
        limit: u64,
    ) -> anyhow::Result<Vec<Value>> {
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut entries = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let limit = (wanted - entries.len()).min(PAGE).to_string();
            let mut parameters = filters.to_vec();
            parameters.push(("limit", &limit));
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let mut page = self.get(path, &parameters).await?;
            match page["items"].take() {
                Value::Array(items) => entries.extend(items),
                _ => bail!("the query API answered without items; is {} a Weir of this version?", self.url),
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || entries.len() >= wanted {
                return Ok(entries);
            }
        }
    }

    pub(super) async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let answer = self.answered(self.request(path, parameters)).await?;
        answer.json().await.context("the query API's answer is not JSON")
    }

    /// The same, and again where too many questions were asked, once the API says to come back.
    pub(super) async fn get_patiently(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> anyhow::Result<Value> {
        for _ in 0..PATIENCE {
            let sent = self.request(path, parameters).send().await;
            let answer = sent.with_context(|| format!("the query API at {} does not answer", self.url))?;
            if answer.status() != http::StatusCode::TOO_MANY_REQUESTS {
                let answer = Self::successful(answer).await?;
                return answer.json().await.context("the query API's answer is not JSON");
            }
            let after = answer.headers().get(http::header::RETRY_AFTER);
            let after = after.and_then(|after| after.to_str().ok()?.parse().ok()).unwrap_or(1);
            tokio::time::sleep(Duration::from_secs(after).min(MAX_PAUSE)).await;
        }
        self.get(path, parameters).await
    }

    /// An answer that is read as it comes, for so long.
    pub(super) async fn open(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        for_so_long: Duration,
    ) -> anyhow::Result<reqwest::Response> {
        self.answered(self.request(path, parameters).timeout(for_so_long)).await
    }

    fn request(&self, path: &str, parameters: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).query(parameters).bearer_auth(&self.token)
    }

    async fn answered(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let sent = request.send().await;
        Self::successful(sent.with_context(|| format!("the query API at {} does not answer", self.url))?)
            .await
    }

    async fn successful(answer: reqwest::Response) -> anyhow::Result<reqwest::Response> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body: Value = answer.json().await.context("the query API's answer is not JSON")?;
        bail!("{}", body["detail"].as_str().or(body["title"].as_str()).unwrap_or(status.as_str()))
    }
}

fn print_table(entries: &[Value]) {
    let columns = ["occurred_at", "actor", "action", "resource", "outcome", "source"];
    let mut table = output::table(&columns.map(|name| name.trim_end_matches("_at")));
    for entry in entries {
        table.add_row(columns.map(|column| printable(entry[column].as_str().unwrap_or_default())));
    }
    output::print_table(&table, "no entries match");
}
