//! `weir status`, and the throughput that `weir up` shows in the foreground.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sinks::read_models::pipeline::{Stage, StageState};

use super::{
    Outcome,
    credential::without_password,
    deployment::{Deployment, Process},
    lag::{self, Gauge},
    output::{self, Format, note},
    place::Place,
    settings::Client,
};
use stack::{Stack, StackConfig};
use topology::pipeline;

/// Arguments of `weir status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Show the API key, and databases with their passwords.
    #[arg(long)]
    show_secrets: bool,
}

/// Running processes and their addresses.
#[derive(Debug, Serialize)]
struct Status {
    kafka: Option<String>,
    database_url: Option<String>,
    gateway: Option<String>,
    query_api: Option<String>,
    registry: Option<String>,
    /// With `--show-secrets` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Of the local stack, as its owner. With `--show-secrets` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_database_url: Option<String>,
    stages: Vec<StageStatus>,
    /// URL of each process's metrics, by name.
    metrics: BTreeMap<String, String>,
}

/// One stage. `lag`, `parked` and `waiting` are null while Kafka or Postgres do not answer.
#[derive(Debug, Serialize)]
struct StageStatus {
    name: String,
    state: State,
    pid: Option<i32>,
    lag: Option<i64>,
    /// Ever.
    parked: Option<i64>,
    /// Parked records without a decision: `weir dead-letter` replays or discards them.
    waiting: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Its process runs and says that it is ready.
    Ready,
    /// Its process runs and is not ready: starting, or what it needs is away.
    Starting,
    /// A partition of it is halted; `weir lag` shows the reason.
    Halted,
    /// No process runs it here.
    Stopped,
}

/// Prints what runs here.
pub(super) async fn status(args: StatusArgs) -> anyhow::Result<Outcome> {
    let config = StackConfig::shared()?;
    let deployment = Deployment::load(&config.home)?;
    let is_local = config.named.database_url.is_none();
    let endpoints = Stack::new(config).joined().await.ok();
    // Without Kafka or Postgres there is still something to show.
    let measured: BTreeMap<String, Stage> = measure().await.unwrap_or_default();

    // Health is told in clear text.
    let client = client(&Client::default())?;
    let mut stages = Vec::new();
    for name in pipeline::declaration().stage_names() {
        let process = deployment.running(name);
        let stage = measured.get(name);
        stages.push(StageStatus {
            name: name.to_owned(),
            state: state(&client, process, stage).await,
            pid: process.map(Process::pid),
            lag: stage.and_then(|stage| stage.lag),
            parked: stage.map(|stage| stage.counts.parked),
            waiting: stage.map(|stage| stage.waiting),
        });
    }
    let status = Status {
        kafka: endpoints.as_ref().map(|e| e.kafka.clone()),
        admin_database_url: endpoints
            .as_ref()
            .filter(|_| is_local && args.show_secrets)
            .map(|endpoints| endpoints.database_url.clone()),
        database_url: endpoints.as_ref().map(|endpoints| {
            let url = &endpoints.database_url;
            if args.show_secrets { url.clone() } else { without_password(url) }
        }),
        gateway: deployment.gateway_url(),
        query_api: deployment.query_api_url(),
        registry: endpoints.and_then(|e| e.registry).or(deployment.registry.clone()),
        token: deployment.token.clone().filter(|_| args.show_secrets),
        stages,
        metrics: deployment.metrics_urls(),
    };
    print(&status, args.output)?;
    Ok(Outcome::Done)
}

async fn measure() -> anyhow::Result<BTreeMap<String, Stage>> {
    let stages = Gauge::new(&Place::find().await?)?.read().await?;
    Ok(stages.into_iter().map(|stage| (stage.name.clone(), stage)).collect())
}

async fn state(client: &reqwest::Client, process: Option<&Process>, stage: Option<&Stage>) -> State {
    let Some(process) = process else { return State::Stopped };
    if stage.is_some_and(|stage| stage.state == StageState::Halted) {
        return State::Halted;
    }
    if answers(client, &format!("{}/readyz", process.admin_url())).await {
        State::Ready
    } else {
        State::Starting
    }
}

fn print(status: &Status, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(status);
    }
    let places = [
        ("Kafka", &status.kafka),
        ("Postgres", &status.database_url),
        ("registry", &status.registry),
        ("gateway", &status.gateway),
        ("query API", &status.query_api),
    ];
    for (name, place) in places {
        output::line(&format!("{name:<10} {}", place.as_deref().unwrap_or("not running")));
    }
    let token = status.token.as_deref().unwrap_or("not shown; --show-secrets shows it");
    output::line(&format!("{:<10} {token}", "API key"));
    output::line("");
    let mut table = output::table(&["stage", "state", "pid", "lag", "parked", "waiting"]);
    for stage in &status.stages {
        let number = |n: Option<i64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        table.add_row([
            stage.name.clone(),
            format!("{:?}", stage.state).to_lowercase(),
            stage.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            number(stage.lag),
            number(stage.parked),
            number(stage.waiting),
        ]);
    }
    output::print_table(&table, "no stages");
    Ok(())
}

/// Names the library of TLS's algorithms for all HTTP clients of the process.
pub(super) fn use_tls_provider() {
    // A second call changes nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// An HTTP client for Weir's services.
pub(super) fn client(settings: &Client) -> anyhow::Result<reqwest::Client> {
    use_tls_provider();
    let mut client = edge::outbound::client_builder().timeout(Duration::from_secs(10));
    if let Some(file) = &settings.ca_certificate {
        let pem = std::fs::read(file)
            .with_context(|| format!("the CA certificate {} cannot be read", file.display()))?;
        let authorities = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if authorities.is_empty() {
            bail!("the CA certificate {} holds no certificate in PEM form", file.display());
        }
        client = client.tls_certs_only(authorities);
    }
    Ok(client.build()?)
}

/// Whether a GET gives 2xx.
pub(super) async fn answers(client: &reqwest::Client, url: &str) -> bool {
    let answer = client.get(url).timeout(Duration::from_secs(2)).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// Throughput, second by second.
pub(super) struct Flow {
    gauge: Gauge,
    client: reqwest::Client,
    before: Option<(Instant, i64)>,
    newest: Option<String>,
}

impl Flow {
    /// Nothing has been shown yet.
    pub(super) async fn begin() -> anyhow::Result<Self> {
        let place = Place::find().await?;
        let (gauge, client) = (Gauge::new(&place)?, client(&place.settings.client)?);
        Ok(Self { gauge, client, before: None, newest: None })
    }

    /// Prints one line of counts, and the newest audit entry.
    pub(super) async fn show(&mut self, home: &Path) -> anyhow::Result<()> {
        let stages = self.gauge.read().await?;
        let applied: i64 = stages.iter().map(|stage| stage.counts.applied).sum();
        let now = Instant::now();
        if let Some((then, before)) = self.before.replace((now, applied)) {
            let rate = rate(applied - before, now - then);
            let behind = lag::behind(&stages);
            let parked: i64 = stages.iter().map(|stage| stage.counts.parked).sum();
            let newest = self.newest(home).await.unwrap_or_default();
            note(&format!(
                "{applied:>10} applied  {rate:>7}/s  {behind:>6} behind  {parked:>4} parked   {newest}"
            ));
        }
        Ok(())
    }

    /// The newest audit entry in a line; nothing when it was shown before.
    async fn newest(&mut self, home: &Path) -> Option<String> {
        let deployment = Deployment::load(home).ok()?;
        let url = format!("{}/api/v1/audit?limit=1", deployment.query_api_url()?);
        let answer = self.client.get(url).bearer_auth(deployment.token?).send().await.ok()?;
        let body: Value = answer.json().await.ok()?;
        let entry = body["items"].get(0)?;
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let id = text("event_id");
        if self.newest.replace(id.clone()) == Some(id) {
            return None;
        }
        Some(format!("{} {} {}", text("actor"), text("action"), text("outcome")))
    }
}

fn rate(count: i64, within: Duration) -> i64 {
    let millis = i64::try_from(within.as_millis().max(1)).unwrap_or(i64::MAX);
    count.saturating_mul(1_000) / millis
}
