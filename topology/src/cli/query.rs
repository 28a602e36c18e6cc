//! `weir query`: what the query API answers, as a table or JSON.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Outcome,
    output::{self, Format},
    place::Place,
    status::client,
};

/// The most that the API gives at once.
const PAGE: usize = 1_000;

/// Arguments of `weir query`.
#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Who did what: audit entries, newest first.
    Audit(Box<AuditArgs>),
}

#[derive(Debug, Args)]
struct AuditArgs {
    /// Show one entry, with its whole record.
    #[arg(long, value_name = "EVENT_ID", exclusive = false)]
    id: Option<String>,
    /// Who acted: the exact id.
    #[arg(long)]
    actor: Option<String>,
    /// What was done, in the source's words.
    #[arg(long)]
    action: Option<String>,
    /// What it was done to: the exact id.
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
    /// The most entries to print.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl AuditArgs {
    fn filters(&self) -> Vec<(&'static str, &str)> {
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
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect()
    }
}

/// Asks and prints.
pub(super) async fn query(args: QueryArgs) -> anyhow::Result<Outcome> {
    let What::Audit(args) = args.what;
    let (url, token) = Place::find().await?.query_api()?;
    let api = Api { url, token, client: client()? };
    if let Some(id) = &args.id {
        output::json(&api.get(&format!("/api/v1/audit/{id}"), &[]).await?)?;
        return Ok(Outcome::Done);
    }
    let entries = api.audit(&args).await?;
    match args.output {
        Format::Json => output::json(&entries)?,
        Format::Ndjson => entries.iter().try_for_each(output::json)?,
        Format::Table => print_table(&entries),
    }
    Ok(Outcome::Done)
}

struct Api {
    url: String,
    token: String,
    client: reqwest::Client,
}

impl Api {
    /// Pages until the limit is reached or nothing is left.
    async fn audit(&self, args: &AuditArgs) -> anyhow::Result<Vec<Value>> {
        let wanted = usize::try_from(args.limit).unwrap_or(usize::MAX);
        let mut entries = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let limit = (wanted - entries.len()).min(PAGE).to_string();
            let mut parameters = args.filters();
            parameters.push(("limit", &limit));
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let mut page = self.get("/api/v1/audit", &parameters).await?;
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

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let answer = self
            .client
            .get(format!("{}{path}", self.url))
            .query(parameters)
            .bearer_auth(&self.token)
            .send()
            .await
            .with_context(|| format!("the query API at {} does not answer", self.url))?;
        let status = answer.status();
        let body: Value = answer.json().await.context("the query API's answer is not JSON")?;
        if !status.is_success() {
            bail!("{}", body["detail"].as_str().or(body["title"].as_str()).unwrap_or(status.as_str()));
        }
        Ok(body)
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

/// Terminals obey control characters, and names come from strangers.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
