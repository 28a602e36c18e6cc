//! The command line. Data goes to stdout, what a person reads beside it to stderr.

mod access;
mod acted_for;
mod admin_server;
mod audit;
mod auth;
mod bench;
mod budget;
mod change;
mod command;
mod compliance;
mod credential;
mod dead_letter;
mod deployment;
mod doctor;
mod erase;
mod evidence;
mod folder;
mod generate;
mod hold;
mod import;
mod issuer;
mod issuers;
mod key;
mod lag;
mod logins;
mod output;
mod own_event;
mod past;
mod place;
mod policy;
mod prices;
mod query;
mod recommendation;
mod risk;
mod rules;
mod run;
mod schema;
mod search;
mod settings;
mod shutdown;
mod sink;
mod stage;
mod status;
mod tenant;
mod topics;
mod transport;
mod up;
mod verify;
mod watched;
mod witness;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use edge::RenderMetrics;
use nix::sys::resource::{Resource, setrlimit};

use self::settings::{Client, Trust};
use topology::runtime::observe::telemetry::{self, LogFormat, Speaker, Telemetry};

/// Events in, audited answers out: Kafka to Postgres, exactly once.
#[derive(Debug, Parser)]
#[command(name = "weir", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    /// Say less: warnings and errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start it all here: servers, topics, stages, gateway and query API.
    Up(up::UpArgs),
    /// Show what runs here and where it answers.
    Status(status::StatusArgs),
    /// Check a deployment for faults, and name the remedies.
    Doctor(doctor::DoctorArgs),
    /// Stop what `up` started.
    Down(up::DownArgs),
    /// Run one or more stages, the gateway or the query API as a process of their own.
    Run(run::RunArgs),
    /// Show how far each stage is behind its topics.
    Lag(lag::LagArgs),
    /// Publish a believable organisation's events.
    Generate(generate::GenerateArgs),
    /// Publish the records of files.
    Import(import::ImportArgs),
    /// Ask the read models.
    Query(query::QueryArgs),
    /// Ask for a change to be approved, approve it, reject it.
    Change(change::ChangeArgs),
    /// Decide about risk: criticality, watchlists, triage of incidents.
    Risk(risk::RiskArgs),
    /// Set budgets and show their spending.
    Budget(budget::BudgetArgs),
    /// Decide by which rules costs go to teams, after a preview.
    Allocation(budget::AllocationArgs),
    /// Accept or dismiss what `weir query cost recommendations` recommends.
    Recommendation(recommendation::RecommendationArgs),
    /// Save searches of the audit log under a name, list, run and remove them.
    Search(search::SearchArgs),
    /// Place, release and list legal holds.
    Hold(hold::HoldArgs),
    /// Erase a person's data.
    Erase(erase::EraseArgs),
    /// Make, rotate, list and revoke API keys.
    Key(key::KeyArgs),
    /// Show who can do what, and who did lately.
    Access(access::AccessArgs),
    /// Show what tenants use, and set their limits.
    Tenant(tenant::TenantArgs),
    /// Sign in and out, explain what a token of an issuer allows.
    Auth(auth::AuthArgs),
    /// Show the pipeline, compare it with a cluster, apply it.
    Topology(topics::TopologyArgs),
    /// Decide about a halted partition.
    Stage(stage::StageArgs),
    /// Show sinks, try one, pause, resume, deliver again.
    Sink(sink::SinkArgs),
    /// List, replay or discard parked records.
    DeadLetter(dead_letter::DeadLetterArgs),
    /// Register the event schemas at a schema registry.
    Schema(schema::SchemaArgs),
    /// Try detection rules on files or on the past, check them, run their examples.
    Rules(rules::RulesArgs),
    /// Judge plans and Kubernetes objects by compliance policies, check policies, run their tests.
    Policy(policy::PolicyArgs),
    /// Show catalogues of frameworks and the policies that are evidence for them.
    Compliance(compliance::ComplianceArgs),
    /// Check an evidence packet without a server.
    Evidence(evidence::EvidenceArgs),
    /// List, check and replace the prices that estimates use.
    Prices(prices::PricesArgs),
    /// Check that the audit log is as it was.
    Verify(verify::VerifyArgs),
    /// Proofs of entries, tiles for others to keep, keys of the log.
    Audit(audit::AuditArgs),
    /// Issue tokens as a scripted OpenID issuer, for a try and for tests.
    Issuer(issuer::IssuerArgs),
    /// Cosign checkpoints of other people's logs.
    Witness(witness::WitnessArgs),
    /// Measure, beside a peer, in one run.
    Bench(bench::BenchArgs),
    /// Exit 0 if a GET of the URL answers with success (2xx); for container health checks.
    Healthcheck {
        /// For example `http://127.0.0.1:8643/readyz`.
        url: String,
        #[command(flatten)]
        trust: Trust,
    },
    /// Print shell completions.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

/// Outcome of a command, as its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    No,
    /// It could not do its work as it was asked to.
    Usage,
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::No => Self::FAILURE,
            Outcome::Usage => Self::from(2),
            Outcome::Interrupted => Self::from(130),
        }
    }
}

/// Runs the command that the arguments name. Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.
pub fn main() -> ExitCode {
    // A core dump would hold keys and secrets. What this process starts inherits the limit.
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        return report(&anyhow::Error::new(error).context("core dumps cannot be switched off"));
    }
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("the async runtime cannot start")),
    };
    let code = runtime.block_on(async {
        let speaker = if matches!(cli.command, Command::Run(_) | Command::Witness(_) | Command::Issuer(_)) {
            Speaker::Service
        } else {
            Speaker::Command
        };
        let level = level(cli.quiet, cli.verbose, speaker);
        let telemetry = match Telemetry::install(LogFormat::from_env(speaker), level) {
            Ok(telemetry) => telemetry,
            Err(error) => return report(&error.into()),
        };
        dispatch(cli.command, &telemetry).await.map_or_else(|error| report(&error), ExitCode::from)
    });
    // Blocking reads of stdin or files must not hold the exit up.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}

async fn dispatch(command: Command, telemetry: &Telemetry) -> anyhow::Result<Outcome> {
    match command {
        Command::Up(args) => up::up(args).await,
        Command::Status(args) => status::status(args).await,
        Command::Doctor(args) => doctor::doctor(args).await,
        Command::Down(args) => up::down(args).await,
        Command::Run(args) => run::run(args, telemetry).await,
        Command::Lag(args) => lag::lag(args).await,
        Command::Generate(args) => generate::generate(args).await,
        Command::Import(args) => import::import(args).await,
        Command::Query(args) => query::query(args).await,
        Command::Change(args) => change::change(args).await,
        Command::Risk(args) => risk::risk(args).await,
        Command::Budget(args) => budget::budget(args).await,
        Command::Allocation(args) => budget::allocation(args).await,
        Command::Recommendation(args) => recommendation::recommendation(args).await,
        Command::Search(args) => search::search(args).await,
        Command::Hold(args) => hold::hold(args).await,
        Command::Erase(args) => erase::erase(args).await,
        Command::Key(args) => key::key(args).await,
        Command::Access(args) => access::access(args).await,
        Command::Tenant(args) => tenant::tenant(args).await,
        Command::Auth(args) => auth::auth(args).await,
        Command::Topology(args) => topics::topology(args).await,
        Command::Stage(args) => stage::stage(args).await,
        Command::Sink(args) => sink::sink(args).await,
        Command::DeadLetter(args) => dead_letter::dead_letter(args).await,
        Command::Schema(args) => schema::schema(args).await,
        Command::Rules(args) => rules::rules(args).await,
        Command::Policy(args) => policy::policy(args).await,
        Command::Compliance(args) => compliance::compliance(args).await,
        Command::Evidence(args) => evidence::evidence(&args),
        Command::Prices(args) => prices::prices(args),
        Command::Verify(args) => verify::verify(args).await,
        Command::Audit(args) => audit::audit(args).await,
        Command::Issuer(args) => issuer::issuer(args).await,
        Command::Witness(args) => {
            let metrics = telemetry.metrics();
            witness::witness(args, RenderMetrics::new(move || telemetry::render(&metrics))).await
        }
        Command::Bench(args) => bench::bench(args).await,
        Command::Healthcheck { url, trust } => {
            let ready = status::answers(&status::client(&trust.over(Client::default()))?, &url).await;
            Ok(if ready { Outcome::Done } else { Outcome::No })
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "weir", &mut std::io::stdout());
            Ok(Outcome::Done)
        }
    }
}

/// The default log filter; `RUST_LOG` wins over it. Services speak, commands are silent unless asked.
fn level(quiet: bool, verbose: u8, speaker: Speaker) -> &'static str {
    match (quiet, verbose, speaker) {
        (true, _, _) => "error",
        (_, 0, Speaker::Command) => "warn,sqlx::postgres::notice=error",
        (_, 0, Speaker::Service) => "info,sqlx::postgres::notice=error",
        (_, 1, _) => "info,sqlx::postgres::notice=error,topology=debug,producers=debug,sinks=debug",
        (_, _, _) => "debug",
    }
}

fn report(error: &anyhow::Error) -> ExitCode {
    output::complain(error);
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
