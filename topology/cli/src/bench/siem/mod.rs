//! `weir bench siem`: from the audit topic to a receiver that reads and drops, beside a loader in Python.
//!
//! The peer is `loader.py`: librdkafka's consumer, 100 records a request, the same form and compression,
//! and the offset committed once a request was answered. It runs where the Python that is named has
//! `confluent_kafka` and `requests`.

mod receiver;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use producers::kafka::Purpose;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use self::receiver::{Received, Receiver};
use super::{
    drain::median,
    machine,
    stand::{Program, Stand},
};
use crate::{
    Outcome, generate,
    output::{self, Format, note},
};

/// The sink that is measured.
const SINK: &str = "bench";
const STAGE: &str = "sink.bench";
const LOADER: &str = include_str!("loader.py");
const LOOK_EVERY: Duration = Duration::from_millis(50);
const DELIVERED_WITHIN: Duration = Duration::from_mins(10);

/// Arguments of `weir bench siem`.
#[derive(Debug, Args)]
pub(super) struct SiemArgs {
    /// Number of records in the audit topic.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Number of measurements of each side, in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pairs: u32,
    /// The Python that runs the peer.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// One measurement: from the receiver's first request to its last.
#[derive(Debug, Clone, Copy)]
struct Run {
    events: u64,
    received: Received,
    cpu: Duration,
    rss_peak_bytes: u64,
}

#[expect(clippy::cast_precision_loss, reason = "rates of counts far below 2^52")]
impl Run {
    fn events_per_s(&self) -> f64 {
        self.events as f64 / self.received.took.as_secs_f64().max(1e-9)
    }

    fn cpu_us_per_event(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.events as f64
    }
}

/// One side's figures: medians over the pairs, the highest memory.
#[derive(Debug, Serialize)]
struct Figures {
    events_per_s: f64,
    /// Of ours with PostgreSQL's; the broker's and the receiver's are left out on both sides.
    cpu_us_per_event: f64,
    rss_peak_bytes: u64,
    requests: u64,
    bytes_on_the_wire: u64,
    /// Our events per second over the peer's, pair by pair: median, least, most.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<[f64; 3]>,
}

#[derive(Debug, Serialize)]
struct Report {
    name: &'static str,
    ours: Figures,
    peers: BTreeMap<&'static str, Figures>,
    pairs: u32,
    events: u64,
    load: String,
}

/// Fills the audit topic once, then measures both in turn.
pub(super) async fn siem(args: &SiemArgs) -> anyhow::Result<Outcome> {
    let bench = Bench {
        stand: Stand::start().await?,
        receiver: Receiver::start().await?,
        events: args.events,
        python: args.python.clone(),
    };
    let has_peer = has_libraries(&args.python);
    if !has_peer {
        note(&format!(
            "{} has no confluent_kafka and requests: no peer is measured (`pip install confluent-kafka requests`)",
            args.python.display()
        ));
    }
    bench.fill().await?;
    let (mut ours, mut loader) = (Vec::new(), Vec::new());
    for pair in 1..=args.pairs {
        ours.push(bench.ours(&format!("siem_{pair}")).await?);
        if has_peer {
            loader.push(bench.loader(pair).await?);
        }
        let rate = |runs: &[Run]| runs.last().map(Run::events_per_s).unwrap_or_default();
        note(&format!(
            "pair {pair}: ours {:.0}/s, Python {:.0}/s; load {}",
            rate(&ours),
            rate(&loader),
            machine::load()
        ));
    }
    let peers = (!loader.is_empty()).then(|| ("python_loader", figures(&loader, Some(&ours))));
    let report = Report {
        name: "siem",
        ours: figures(&ours, None),
        peers: peers.into_iter().collect(),
        pairs: args.pairs,
        events: args.events,
        load: machine::load(),
    };
    print(&report, args.output)?;
    Ok(Outcome::Done)
}

struct Bench {
    stand: Stand,
    receiver: Receiver,
    events: u64,
    python: PathBuf,
}

impl Bench {
    /// Fills the audit topic by way of the audit stage; a first sink, which is not measured, tells when it
    /// is full.
    async fn fill(&self) -> anyhow::Result<()> {
        note(&format!("publishing {} events and relaying them to the audit topic", self.events));
        let producer = self.stand.producer(Purpose::Bulk)?;
        generate::publish_cloudtrail(&producer, self.events).await?;
        drop(producer);
        let database = self.stand.database("siem_fill").await?;
        let audit = self.stand.stages(&["audit"], &database).await?;
        self.run_sink(&database).await?;
        audit.stop().await?;
        Ok(())
    }

    async fn ours(&self, database: &str) -> anyhow::Result<Run> {
        let url = self.stand.database(database).await?;
        let run = self.run_sink(&url).await?;
        sinks::postgres::drop_database(&self.stand.endpoints.maintenance_url, database).await?;
        Ok(run)
    }

    /// Runs the sink as a process until it has settled every record.
    async fn run_sink(&self, database: &str) -> anyhow::Result<Run> {
        let settings = self.stand.dir.join("sinks.json");
        let sink = json!({"sink": [{
            "name": SINK, "kind": "splunk_hec", "endpoint": self.receiver.url(), "secret": "a token of the bench",
            "acknowledgement": "off", "allow_networks": ["127.0.0.0/8"],
        }]});
        std::fs::write(&settings, sink.to_string()).context("writing the sink's settings")?;
        let postmaster = self.stand.postmaster().await?;
        let pool = sinks::postgres::operator_pool(database, 1)?;
        self.receiver.begin();
        let before = machine::cpu_with_children(postmaster)?;
        let program = Program {
            args: vec!["run".to_owned(), STAGE.to_owned()],
            env: vec![("WEIR_SIEM__SINKS_FILE", settings.display().to_string())],
        };
        let stage = self.stand.process(program, database).await?;
        let deadline = Instant::now() + DELIVERED_WITHIN;
        loop {
            let positions = sinks::positions::read_all(&pool).await?;
            let own = || positions.iter().filter(|position| position.stage == STAGE);
            let applied: i64 = own().map(|position| position.applied).sum();
            let parked: i64 = own().map(|position| position.parked).sum();
            if parked > 0 {
                bail!("{parked} records were parked: the run does not count");
            }
            if u64::try_from(applied) == Ok(self.events) {
                break;
            }
            if Instant::now() >= deadline {
                bail!("after {DELIVERED_WITHIN:?} {applied} of {} records were delivered", self.events);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let run = Run {
            events: self.events,
            received: self.receiver.end()?,
            cpu: machine::cpu_of(stage.pid())?
                + machine::cpu_with_children(postmaster)?.saturating_sub(before),
            rss_peak_bytes: machine::peak_memory(stage.pid())?,
        };
        stage.stop().await?;
        pool.close().await;
        Ok(run)
    }

    /// Runs the peer in a group of its own until it has delivered every record.
    async fn loader(&self, pair: u32) -> anyhow::Result<Run> {
        let script = self.stand.dir.join("loader.py");
        std::fs::write(&script, LOADER).context("writing the loader")?;
        self.receiver.begin();
        let mut loader = Loader::start(
            &self.python,
            &script,
            &[
                &self.stand.endpoints.kafka,
                schemas::Topic::Audit.name(),
                &format!("{}/services/collector/event", self.receiver.url()),
                &self.events.to_string(),
                &format!("loader-{pair}"),
            ],
        )?;
        let delivered = loader.delivered().await?;
        if delivered != self.events {
            bail!("the loader delivered {delivered} of {} records", self.events);
        }
        let pid = i32::try_from(loader.child.id()).context("a process id")?;
        Ok(Run {
            events: self.events,
            received: self.receiver.end()?,
            cpu: machine::cpu_of(pid)?,
            rss_peak_bytes: machine::peak_memory(pid)?,
        })
    }
}

/// The peer's process; killed when it is dropped.
struct Loader {
    child: Child,
}

impl Loader {
    fn start(python: &Path, script: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let child = Command::new(python)
            .arg(script)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the loader")?;
        Ok(Self { child })
    }

    /// Number of records that it reports as delivered. It stays until it is dropped, so that its memory can be
    /// read.
    async fn delivered(&mut self) -> anyhow::Result<u64> {
        let out = self.child.stdout.take().context("the loader's output")?;
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        });
        let line =
            tokio::time::timeout(DELIVERED_WITHIN, line).await.context("the loader takes too long")???;
        line.trim().parse().context("the loader failed; what it says stands above")
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn has_libraries(python: &Path) -> bool {
    let import =
        Command::new(python).args(["-c", "import confluent_kafka, requests"]).stderr(Stdio::null()).status();
    import.is_ok_and(|status| status.success())
}

fn figures(runs: &[Run], ours: Option<&[Run]>) -> Figures {
    let median_of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    let last = runs.last().map(|run| run.received);
    Figures {
        events_per_s: median_of(Run::events_per_s),
        cpu_us_per_event: median_of(Run::cpu_us_per_event),
        rss_peak_bytes: runs.iter().map(|run| run.rss_peak_bytes).max().unwrap_or_default(),
        requests: last.map(|received| received.requests).unwrap_or_default(),
        bytes_on_the_wire: last.map(|received| received.bytes).unwrap_or_default(),
        ratio: ours.map(|ours| {
            let pairs = ours.iter().zip(runs);
            let mut ratios: Vec<f64> = pairs.map(|(a, b)| a.events_per_s() / b.events_per_s()).collect();
            ratios.sort_by(f64::total_cmp);
            let ends = (ratios.first().copied(), ratios.last().copied());
            [median(ratios), ends.0.unwrap_or_default(), ends.1.unwrap_or_default()]
        }),
    }
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(report);
    }
    let mut table = output::table(&[
        "side",
        "events/s",
        "CPU µs/event",
        "peak RSS MB",
        "requests",
        "ours ÷ it (min–max)",
    ]);
    let peers = report.peers.iter().map(|(name, figures)| (*name, figures));
    for (name, figures) in [("ours", &report.ours)].into_iter().chain(peers) {
        let ratio = figures.ratio.map(|[median, min, max]| format!("{median:.2} ({min:.2}–{max:.2})"));
        table.add_row([
            name.to_owned(),
            format!("{:.0}", figures.events_per_s),
            format!("{:.1}", figures.cpu_us_per_event),
            (figures.rss_peak_bytes / 1_000_000).to_string(),
            figures.requests.to_string(),
            ratio.unwrap_or_default(),
        ]);
    }
    output::print_table(&table, "nothing was measured");
    Ok(())
}
