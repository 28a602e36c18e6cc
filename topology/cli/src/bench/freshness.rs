//! `weir bench freshness`: how old an event is when its row can be seen.
//!
//! For every event the time of `produce()` is known, and, from the acknowledgement, its partition and offset. A watcher
//! asks `stage_position` a thousand times a second; the first answer beyond the offset is the moment of visibility. The
//! watcher's own interval is part of the figure: it is never too good.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use anyhow::{Context, bail};
use producers::kafka::{Acknowledged, Purpose};
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{FreshnessArgs, machine, stand::Stand};
use crate::{
    Outcome, generate,
    output::{self, Format, note},
};

/// The stage whose rows are waited for.
const STAGE: &str = "audit";
/// Time to settle after a change of rate.
const WARM_UP: Duration = Duration::from_secs(2);
/// A Java broker that was just started compiles itself for half a minute, and competes for the cores meanwhile: nobody's
/// events are that early. So long and so fast are events published before the first rate.
const SERVERS_WARM_UP: (u32, Duration) = (2_000, Duration::from_secs(30));
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// Acknowledgements on their way to the watcher; beyond it the publisher waits.
const IN_FLIGHT: usize = 100_000;

#[derive(Debug, Serialize)]
struct Report {
    name: &'static str,
    runs: Vec<Run>,
    load: String,
}

/// One rate.
#[derive(Debug, Serialize)]
struct Run {
    events_per_s: u32,
    events: usize,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Of the stage, per event.
    cpu_us_per_event: f64,
    /// Time to sync one page to disk meanwhile: every commit waits for a sync.
    disk_sync_p50_ms: f64,
    disk_sync_p95_ms: f64,
    disk_sync_p99_ms: f64,
}

/// Holds each rate for a while and prints how fresh the rows were.
pub(super) async fn freshness(args: &FreshnessArgs) -> anyhow::Result<Outcome> {
    let stand = Stand::start().await?;
    let database = stand.database("freshness").await?;
    let stage = stand.stages(&[STAGE], &database).await?;
    let (rate, during) = SERVERS_WARM_UP;
    note(&format!("warming the servers up for {} s", during.as_secs()));
    hold(&stand, &database, rate, during, u64::MAX).await?;
    // From here on the server writes its log into files it has, as one does that has run for an hour.
    sinks::raw_copy::checkpoint(&database).await?;
    let mut runs = Vec::new();
    for (round, rate) in args.rates.iter().enumerate() {
        let disk = machine::DiskProbe::start(&stand.dir).context("trying the disk")?;
        let cpu = machine::cpu_of(stage.pid())?;
        let ages =
            hold(&stand, &database, *rate, Duration::from_secs(args.seconds.into()), round as u64).await?;
        let cpu = machine::cpu_of(stage.pid())?.saturating_sub(cpu);
        let syncs = disk.end().context("trying the disk")?;
        let run = summarise(*rate, (ages, syncs), cpu, WARM_UP.as_secs_f64() + f64::from(args.seconds))?;
        note(&format!(
            "{rate}/s: P50 {:.1}, P95 {:.1}, P99 {:.1} ms; a sync of the disk {:.1}, {:.1}, {:.1} ms",
            run.p50_ms,
            run.p95_ms,
            run.p99_ms,
            run.disk_sync_p50_ms,
            run.disk_sync_p95_ms,
            run.disk_sync_p99_ms
        ));
        runs.push(run);
    }
    stage.stop().await?;
    print(&Report { name: "freshness", runs, load: machine::load() }, args.output)?;
    Ok(Outcome::Done)
}

/// Publishes at a rate; how long each event after the warm-up took to be visible.
async fn hold(
    stand: &Stand,
    database: &str,
    rate: u32,
    during: Duration,
    round: u64,
) -> anyhow::Result<Vec<Duration>> {
    let producer = stand.producer(Purpose::Gateway)?;
    let (acknowledged, published) = mpsc::channel(IN_FLIGHT);
    let watcher = tokio::spawn(watch(database.to_owned(), published));
    let mut events = generate::cloudtrail_events(round);
    let mut tick = interval(Duration::from_secs(1) / rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    while started.elapsed() < WARM_UP + during {
        tick.tick().await;
        let event = events.next().context("the generator never ends")?;
        let sent_at = Instant::now();
        let delivery = producer.send(&event)?;
        let acknowledged = acknowledged.clone();
        let counted = started.elapsed() >= WARM_UP;
        tokio::spawn(async move {
            let answer = delivery.await;
            drop(acknowledged.send(Published { produced: sent_at, counted, answer }).await);
        });
    }
    drop(acknowledged);
    watcher.await?
}

struct Published {
    produced: Instant,
    counted: bool,
    answer: Result<Acknowledged, producers::kafka::DeliveryFailure>,
}

/// Waiting events of one partition, in offset order.
type Waiting = BTreeMap<(String, i32), VecDeque<(i64, Instant, bool)>>;

/// Sees events become visible until all that were published have.
async fn watch(database: String, mut published: mpsc::Receiver<Published>) -> anyhow::Result<Vec<Duration>> {
    // Held for as long as it looks: a pool would ask more of the server with every look than the look itself does.
    let mut connection = sinks::postgres::operator_pool(&database, 1)?.acquire().await?;
    let mut look = interval(Duration::from_millis(1));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut waiting, mut ages, mut open) = (Waiting::new(), Vec::new(), true);
    let mut last_seen = Instant::now();
    while open || waiting.values().any(|partition| !partition.is_empty()) {
        look.tick().await;
        let positions = sinks::positions::reached(&mut connection, STAGE).await?;
        let seen = Instant::now();
        // The acknowledgement may come after the row: what is taken in now was visible by `seen` at the latest.
        loop {
            match published.try_recv() {
                Ok(event) => take_in(&mut waiting, event)?,
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    open = false;
                    break;
                }
            }
        }
        for (topic, partition, position) in positions {
            let Some(partition) = waiting.get_mut(&(topic, partition)) else { continue };
            while let Some((_, produced, counted)) = partition.pop_front_if(|(offset, ..)| *offset < position)
            {
                last_seen = seen;
                if counted {
                    ages.push(seen.saturating_duration_since(produced));
                }
            }
        }
        if !open && last_seen.elapsed() > SEEN_WITHIN {
            bail!("events were acknowledged and did not become visible within {SEEN_WITHIN:?}");
        }
    }
    Ok(ages)
}

fn take_in(waiting: &mut Waiting, event: Published) -> anyhow::Result<()> {
    let at = event.answer?;
    let partition = waiting.entry((at.topic.name().to_owned(), at.partition)).or_default();
    let place = partition.partition_point(|(offset, ..)| *offset < at.offset);
    partition.insert(place, (at.offset, event.produced, event.counted));
    Ok(())
}

fn summarise(
    rate: u32,
    (mut ages, mut syncs): (Vec<Duration>, Vec<Duration>),
    cpu: Duration,
    seconds: f64,
) -> anyhow::Result<Run> {
    if ages.is_empty() || syncs.is_empty() {
        bail!("nothing was published after the warm-up");
    }
    ages.sort_unstable();
    syncs.sort_unstable();
    Ok(Run {
        events_per_s: rate,
        events: ages.len(),
        p50_ms: quantile_ms(&ages, 50),
        p95_ms: quantile_ms(&ages, 95),
        p99_ms: quantile_ms(&ages, 99),
        max_ms: quantile_ms(&ages, 100),
        cpu_us_per_event: cpu.as_secs_f64() * 1e6 / (f64::from(rate) * seconds),
        disk_sync_p50_ms: quantile_ms(&syncs, 50),
        disk_sync_p95_ms: quantile_ms(&syncs, 95),
        disk_sync_p99_ms: quantile_ms(&syncs, 99),
    })
}

/// Percentile of sorted times, of which there is at least one.
pub(super) fn quantile_ms(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1e3
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(report);
    }
    let mut table = output::table(&[
        "events/s",
        "P50 ms",
        "P95 ms",
        "P99 ms",
        "max ms",
        "stage CPU µs/event",
        "disk sync P50 ms",
        "P95 ms",
        "P99 ms",
    ]);
    for run in &report.runs {
        let disk = [run.disk_sync_p50_ms, run.disk_sync_p95_ms, run.disk_sync_p99_ms];
        let ages = [run.p50_ms, run.p95_ms, run.p99_ms, run.max_ms];
        let mut row = vec![run.events_per_s.to_string()];
        let figures = ages.into_iter().chain([run.cpu_us_per_event]).chain(disk);
        row.extend(figures.map(|figure| format!("{figure:.1}")));
        table.add_row(row);
    }
    output::print_table(&table, "nothing was measured");
    Ok(())
}
