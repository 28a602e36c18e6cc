//! `weir bench log`: what the tamper-evident log costs of a drain, beside the same drain without it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use audit_log::keys::PrivateKey;
use clap::{Args, ValueEnum};
use edge::{Listen, Listener, RenderMetrics};
use producers::kafka::Purpose;
use serde::Serialize;
use sinks::raw_copy;
use tokio_util::sync::CancellationToken;
use topology::{
    pipeline,
    runtime::{
        self, Health, RunConfig,
        sign::{self, SignerConfig},
    },
};

use super::{
    drain::{Figures, Run, figures, measure, median},
    machine,
    proof::{self, Proofs, Quantiles},
    stand::{Program, Stand},
};
use crate::{
    Outcome, admin_server, generate,
    output::{self, Format, note},
    place::Place,
    settings::kafka_security,
    shutdown, status,
};

/// The drain that is not measured.
const WARM_UP: &str = "log_warm_up";
/// The name of the key that signs what is measured.
const KEY_NAME: &str = "bench";

/// Arguments of `weir bench log`.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Number of events in the topics.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Number of measurements of each side, in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pairs: u32,
    /// Seconds for which entries are proven at 2,000 events a second, after a warm-up of 10.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    proof_seconds: u32,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Arguments of the stage that is measured.
#[derive(Debug, Args)]
pub(super) struct StageArgs {
    #[arg(long, value_enum)]
    log: Log,
}

/// Whether the stage keeps the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    On,
    Off,
}

#[derive(Debug, Serialize)]
struct Report {
    name: &'static str,
    /// Rows, leaves, tiles, signed checkpoints.
    ours: Figures,
    /// `without_log`: rows alone. `with_topic`: `weir run audit`, which also fills the audit topic.
    peers: BTreeMap<&'static str, Figures>,
    /// Bytes of PostgreSQL's log that an entry's place in the audit log takes.
    wal_bytes_per_entry: f64,
    /// The part of the drain's time that the log takes: 1 - time without it / time with it, pair by pair,
    /// the median.
    share_of_drain: f64,
    /// The same of the log and the audit topic together.
    share_of_drain_with_topic: f64,
    /// Times to the proofs of entries.
    proofs: Proofs,
    pairs: u32,
    events: u64,
    load: String,
}

/// Measures the three in turn.
pub(super) async fn log(args: &LogArgs) -> anyhow::Result<Outcome> {
    let stand = Stand::start().await?;
    note(&format!("publishing {} events", args.events));
    let producer = stand.producer(Purpose::Bulk)?;
    generate::publish_cloudtrail(&producer, args.events).await?;
    drop(producer);
    let key = PrivateKey::new(KEY_NAME, &rand::random()).context("naming the key")?.text();
    let bench = Bench { stand, events: args.events, key };
    note("draining once without measuring: a Java broker that was just started compiles itself meanwhile");
    bench.run(WARM_UP, &["run", "audit"]).await?;
    let (mut with, mut without, mut topic) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 1..=args.pairs {
        without.push(bench.run(&format!("off_{pair}"), &["bench", "log-stage", "--log", "off"]).await?);
        with.push(bench.run(&format!("on_{pair}"), &["bench", "log-stage", "--log", "on"]).await?);
        topic.push(bench.run(&format!("full_{pair}"), &["run", "audit"]).await?);
        let rate = |runs: &[Run]| runs[runs.len() - 1].events_per_s();
        note(&format!(
            "pair {pair}: with the log {:.0}/s, without {:.0}/s, with the audit topic {:.0}/s; load {}",
            rate(&with),
            rate(&without),
            rate(&topic),
            machine::load()
        ));
    }
    note("proving entries as they are committed");
    let during = Duration::from_secs(args.proof_seconds.into());
    let proofs = proof::measure(&bench.stand, &bench.key, args.events, during).await?;
    let wal = with.iter().zip(&without).map(|(on, off)| on.wal_bytes_per_event() - off.wal_bytes_per_event());
    let report = Report {
        name: "log",
        peers: BTreeMap::from([
            ("without_log", figures(&without, Some(&with))),
            ("with_topic", figures(&topic, Some(&with))),
        ]),
        ours: figures(&with, None),
        wal_bytes_per_entry: median(wal.collect()),
        share_of_drain: share(&with, &without),
        share_of_drain_with_topic: share(&topic, &without),
        proofs,
        pairs: args.pairs,
        events: args.events,
        load: machine::load(),
    };
    print(&report, args.output)?;
    Ok(Outcome::Done)
}

struct Bench {
    stand: Stand,
    events: u64,
    key: String,
}

impl Bench {
    /// Drains into a new database with this program; the database goes again.
    async fn run(&self, database: &str, args: &[&str]) -> anyhow::Result<Run> {
        let url = self.stand.database(database).await?;
        raw_copy::checkpoint(&url).await?;
        let program = Program {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: vec![("WEIR_AUDIT__SIGNING_KEY", self.key.clone())],
        };
        let run = measure(&self.stand, &[("audit", self.events)], &url, program).await?;
        sinks::postgres::drop_database(&self.stand.endpoints.maintenance_url, database).await?;
        Ok(run)
    }
}

/// The part of the longer runs' time that the shorter ones do without, pair by pair, the median.
fn share(with: &[Run], without: &[Run]) -> f64 {
    let pairs = with.iter().zip(without);
    median(pairs.map(|(with, without)| 1.0 - with.events_per_s() / without.events_per_s()).collect())
}

/// Runs the audit stage with or without its log, and nothing beside it but the signer, until it is told to
/// stop.
pub(super) async fn stage(args: &StageArgs) -> anyhow::Result<Outcome> {
    let place = Place::find().await?;
    let stop = shutdown::on_signal();
    let mut config = RunConfig::new(&place.endpoints.kafka, &place.endpoints.database_url);
    config.kafka = kafka_security();
    config.subject_secret = place.subject_secret()?;
    let health = Health::default();
    let address = place.settings.stage.admin_listen;
    let listener = Listener::bind(Listen::admin("stage admin", address)).await?;
    let metrics = RenderMetrics::new(String::new);
    tokio::spawn(admin_server::serve(listener, health.clone(), metrics, stop.clone()));
    let topology = match args.log {
        Log::On => {
            tokio::spawn(sign::run(signer(&place)?, CancellationToken::clone(&stop)));
            pipeline::declaration()
        }
        Log::Off => pipeline::audit_without_log(),
    };
    runtime::run(&topology, &["audit".to_owned()], config, health, stop).await?;
    Ok(Outcome::Done)
}

fn signer(place: &Place) -> anyhow::Result<SignerConfig> {
    Ok(SignerConfig {
        database_url: place.endpoints.database_url.clone(),
        keys: place.signing_keys()?,
        witnesses: Vec::new(),
        client: status::client(&place.settings.client)?,
    })
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(report);
    }
    let mut table = output::table(&["drain", "events/s", "CPU µs/event", "WAL B/event", "peak RSS MB"]);
    let peers = report.peers.iter().map(|(name, figures)| (*name, figures));
    for (name, figures) in [("with the log", &report.ours)].into_iter().chain(peers) {
        table.add_row([
            name.to_owned(),
            format!("{:.0}", figures.events_per_s),
            format!("{:.1}", figures.cpu_us_per_event),
            format!("{:.0}", figures.wal_bytes_per_event),
            figures.rss_peak_bytes.map(|bytes| (bytes / 1_000_000).to_string()).unwrap_or_default(),
        ]);
    }
    output::print_table(&table, "nothing was measured");
    note(&format!(
        "the log takes {:.1} % of the drain and {:.0} B of WAL an entry; with the audit topic {:.1} %",
        report.share_of_drain * 100.0,
        report.wal_bytes_per_entry,
        report.share_of_drain_with_topic * 100.0
    ));
    let Proofs { events_per_s, entries, from_commit, from_acceptance, signed_percent } = &report.proofs;
    note(&format!(
        "at {events_per_s} events a second, {entries} entries had a proof {} after they were seen to be committed, and {} after \
         Kafka had accepted their events; {signed_percent:.0} % lead to a signed checkpoint",
        quantiles(from_commit),
        quantiles(from_acceptance)
    ));
    Ok(())
}

fn quantiles(Quantiles { p50_ms, p95_ms, p99_ms }: &Quantiles) -> String {
    format!("P50 {p50_ms:.1}, P95 {p95_ms:.1}, P99 {p99_ms:.1} ms")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_share_is_of_the_drain_with_the_log() {
        let run = |millis| Run::of_events(1_000, Duration::from_millis(millis));
        let found = share(&[run(1_000), run(2_000), run(4_000)], &[run(900), run(1_000), run(3_200)]);
        assert!((found - 0.2).abs() < 1e-9, "{found}");
    }
}
