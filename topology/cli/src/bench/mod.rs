//! `weir bench`: measures the pipeline beside a baseline, in one run on servers of its own.
//!
//! Two shared cores and a noisy disk: read the ratios, which come from pairs taken in turn, not the absolute rates.

mod anomaly;
mod cost;
mod drain;
mod forecast;
mod freshness;
mod full;
mod log;
mod machine;
mod nab;
mod policy;
mod proof;
mod risk;
mod search;
mod siem;
mod stand;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::{Outcome, output::Format, shutdown};

/// Arguments of `weir bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A backlog into audit rows and positions, beside a raw COPY of the same rows.
    Drain(DrainArgs),
    /// A backlog through audit, risk and change review in one process, beside audit alone.
    Full(full::FullArgs),
    /// From produce to commit, at several rates.
    Freshness(FreshnessArgs),
    /// Detection rules over CloudTrail records, beside the same rules asked one by one; needs no server.
    Risk(risk::RiskArgs),
    /// Compliance policies compiled and interpreted, beside OPA where it is installed, and decisions over HTTP at a rate.
    Policy(policy::PolicyArgs),
    /// The detector of anomalies over the Numenta Anomaly Benchmark, with its published scoring; needs no server.
    Anomaly(anomaly::AnomalyArgs),
    /// Forecasts beside the last season again; needs no server.
    Forecast(forecast::ForecastArgs),
    /// Cost of the audit log in a drain: with it, without it, and with the audit topic.
    Log(log::LogArgs),
    /// The stage that `weir bench log` measures.
    #[command(hide = true)]
    LogStage(log::StageArgs),
    /// From the audit topic to a receiver that reads and drops, beside a loader in Python.
    Siem(siem::SiemArgs),
    /// A bill imported and summed up by day, beside a loader in Python and a raw COPY of the same file; and questions about it.
    Cost(cost::CostArgs),
    /// Searches of an audit log of 20 tenants and 12 months, for terms that are common, rare and absent.
    Search(search::SearchArgs),
}

#[derive(Debug, Args)]
struct DrainArgs {
    /// Number of events in the topics.
    #[arg(long, default_value_t = 500_000)]
    events: u64,
    /// Number of measurements of Weir and of each baseline, taken in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pairs: u32,
    /// A stage that runs beside audit in the same process, for example risk; repeat for several. Ours is then the time
    /// until all of them are through.
    #[arg(long = "with", value_name = "STAGE")]
    beside: Vec<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Args)]
struct FreshnessArgs {
    /// Events per second; repeat for several.
    #[arg(long = "rate", default_values_t = [500, 2_000, 10_000], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rates: Vec<u32>,
    /// Seconds for which each rate is held, after a warm-up of 2.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Measures.
pub(super) async fn bench(args: BenchArgs) -> anyhow::Result<Outcome> {
    match args.what {
        What::Risk(args) => risk::risk(&args),
        What::Anomaly(args) => anomaly::anomaly(&args),
        What::Forecast(args) => forecast::bench_forecast(&args),
        What::LogStage(args) => log::stage(&args).await,
        What::Drain(args) => unless_stopped(drain::drain(&args)).await,
        What::Full(args) => unless_stopped(full::full(&args)).await,
        What::Freshness(args) => unless_stopped(freshness::freshness(&args)).await,
        What::Policy(args) => unless_stopped(policy::policy(&args)).await,
        What::Log(args) => unless_stopped(log::log(&args)).await,
        What::Siem(args) => unless_stopped(siem::siem(&args)).await,
        What::Cost(args) => unless_stopped(cost::cost(&args)).await,
        What::Search(args) => unless_stopped(search::search(&args)).await,
    }
}

/// Measures until a signal stops it: then what was measured is dropped, and with it its processes and servers.
async fn unless_stopped(measuring: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    let stop = shutdown::on_signal();
    tokio::select! {
        measured = measuring => measured,
        () = stop.cancelled() => bail!("stopped by a signal before everything was measured"),
    }
}
