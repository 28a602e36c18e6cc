//! `weir doctor`: finds faults of a deployment, and names the remedy.
//!
//! All facts are gathered first ([`Examined`]); the checks on them are pure.

mod checks;

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use nix::sys::statvfs::statvfs;
use serde::Serialize;
use sinks::{
    postgres::{self, Standing},
    read_models::pipeline::Stage,
};
use topology::{
    pipeline,
    runtime::offline::admin::{self, ClusterStanding, TopicChange},
};

use super::{
    Outcome,
    deployment::Deployment,
    lag::Gauge,
    output::{self, Format},
    place::Place,
    settings::{Trust, kafka_security},
    status::{answers, client},
    transport,
};

/// The longest that one part of the deployment is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Arguments of `weir doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    trust: Trust,
}

/// Verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// It must be fixed: something does not work, or will not.
    Problem,
    /// It works, and an operator should look at it.
    Warning,
    /// It could not be checked.
    Unknown,
    /// No fault.
    Ok,
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// Observed state.
    found: String,
    /// Remedy; empty if there is nothing to do.
    cure: String,
}

/// Gathered facts, before the checks. A fact that could not be determined is an error text.
struct Examined {
    /// This machine's clock.
    now: DateTime<Utc>,
    cluster: Result<ClusterStanding, String>,
    topics: Result<Vec<TopicChange>, String>,
    /// Servers on other machines that are spoken to without verification.
    unprotected: Vec<String>,
    database: Result<Standing, String>,
    stages: Result<Vec<Stage>, String>,
    /// Names of the sinks in the settings here.
    sinks: Vec<String>,
    keys: Keys,
    services: Vec<Service>,
    disk: Option<Disk>,
}

/// Secrets that are configured here.
struct Keys {
    peppers: Result<(), String>,
    subject_secret: Result<bool, String>,
    signing: Result<usize, String>,
    witnesses: usize,
}

/// A service that is named here.
struct Service {
    name: &'static str,
    url: Option<String>,
    is_ready: bool,
}

/// Disk that holds the local deployment's data.
struct Disk {
    path: String,
    free_bytes: u64,
    total_bytes: u64,
}

/// Runs all checks and prints the findings, the worst first. Exit 1 if there is a problem.
pub(super) async fn doctor(args: DoctorArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let findings = checks::findings(&examine(&place, &args.trust).await?);
    let worst = findings.iter().map(|finding| finding.verdict).min();
    print(&findings, args.output)?;
    Ok(if worst == Some(Verdict::Problem) { Outcome::No } else { Outcome::Done })
}

async fn examine(place: &Place, trust: &Trust) -> anyhow::Result<Examined> {
    let (declared, security) = (pipeline::declaration(), kafka_security());
    let kafka = &place.endpoints.kafka;
    let before = Utc::now();
    let database = in_time(postgres::standing(&place.endpoints.database_url)).await;
    // The server's clock was read at some time in between.
    let now = before + (Utc::now() - before) / 2;
    let (cluster, topics, stages) = tokio::join!(
        in_time(admin::standing(&declared, kafka, &security)),
        in_time(admin::plan(&declared, kafka, &security)),
        in_time(async { Gauge::new(place)?.read().await }),
    );
    let keys = Keys {
        peppers: place.peppers().map(drop).map_err(|error| format!("{error:#}")),
        subject_secret: place
            .subject_secret()
            .map(|secret| secret.is_some())
            .map_err(|error| format!("{error:#}")),
        signing: place.signing_keys().map(|keys| keys.len()).map_err(|error| format!("{error:#}")),
        witnesses: place.settings.audit.witnesses.len(),
    };
    let deployment = Deployment::load(&place.home)?;
    let client = client(&trust.over(place.settings.client.clone()))?;
    let urls = [
        ("gateway", place.settings.gateway.url.clone().or_else(|| deployment.gateway_url())),
        ("query API", place.settings.query_api.url.clone().or_else(|| deployment.query_api_url())),
    ];
    let mut services = Vec::new();
    for (name, url) in urls {
        let is_ready = match &url {
            Some(url) => answers(&client, &format!("{}/readyz", url.trim_end_matches('/'))).await,
            None => false,
        };
        services.push(Service { name, url, is_ready });
    }
    let unprotected = transport::unprotected(&place.endpoints)?;
    let sinks = place.settings.sinks()?.into_iter().map(|sink| sink.name).collect();
    let disk = disk(place);
    Ok(Examined { now, cluster, topics, unprotected, database, stages, sinks, keys, services, disk })
}

async fn in_time<T, E: std::fmt::Display>(asked: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| format!("{error:#}")),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// The disk of a local deployment; elsewhere it is other machines' disks that count.
fn disk(place: &Place) -> Option<Disk> {
    let standing = statvfs(&place.home).ok()?;
    let size = standing.fragment_size();
    Some(Disk {
        path: place.home.display().to_string(),
        free_bytes: size.saturating_mul(standing.blocks_available()),
        total_bytes: size.saturating_mul(standing.blocks()),
    })
}

fn print(findings: &[Finding], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => return output::json(&findings),
        Format::Ndjson => return findings.iter().try_for_each(output::json),
        Format::Table => {}
    }
    let mut table = output::table(&["", "check", "found"]);
    for finding in findings {
        let verdict = format!("{:?}", finding.verdict).to_lowercase();
        table.add_row([&verdict, finding.check, &finding.found]);
        if !finding.cure.is_empty() {
            table.add_row(["", "", &format!("→ {}", finding.cure)]);
        }
    }
    output::print_table(&table, "nothing was looked at");
    Ok(())
}
