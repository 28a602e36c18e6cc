//! The proof of an entry as soon as it is committed, while events come in at a rate.
//!
//! Of some events the moment of visibility is awaited as `weir bench freshness` does; then their proofs are
//! read as the query API does. Each leads to the newest checkpoint that covers the entry, or to the log's own
//! size where none does yet. Two times are told: from the commit, as far as it can be seen, to the proof, and what a
//! user waits, from Kafka's acknowledgement to the proof. An event is sampled only while no other is being proven, so that
//! none waits for the instrument.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use producers::kafka::{Acknowledged, Purpose};
use schemas::TenantId;
use serde::Serialize;
use sinks::{log_store::tenants_entry_proof, read_models::reader_pool};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use super::{
    freshness::quantile_ms,
    stand::{Program, Stand},
};
use crate::generate;

/// Events per second.
const RATE: u32 = 2_000;
/// Time to settle, which is not measured.
const WARM_UP: Duration = Duration::from_secs(10);
/// One event in so many is proven.
const SAMPLED: u64 = 20;
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const WORKED_OFF_WITHIN: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Times to the proofs of entries.
#[derive(Debug, Serialize)]
pub(super) struct Proofs {
    pub(super) events_per_s: u32,
    pub(super) entries: usize,
    /// From the moment at which the entry was seen to be committed.
    #[serde(flatten)]
    pub(super) from_commit: Quantiles,
    /// From Kafka's acknowledgement of the event.
    pub(super) from_acceptance: Quantiles,
    /// Share of the proofs that lead to a signed checkpoint already, in percent.
    pub(super) signed_percent: f64,
}

/// Percentiles of times.
#[expect(clippy::struct_field_names, reason = "each tells its unit")]
#[derive(Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
}

impl Quantiles {
    /// Of at least one time.
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self {
            p50_ms: quantile_ms(&took, 50),
            p95_ms: quantile_ms(&took, 95),
            p99_ms: quantile_ms(&took, 99),
        }
    }
}

/// An event on its way. No other is sampled before it is dropped.
struct Sample {
    tenant: TenantId,
    event: Uuid,
    at: Acknowledged,
    accepted: Instant,
    _only: OwnedSemaphorePermit,
}

/// Times of single proofs.
#[derive(Default)]
struct Measured {
    from_commit: Vec<Duration>,
    from_acceptance: Vec<Duration>,
    signed: usize,
}

/// Publishes for so long after the warm-up, and proves entries meanwhile. The topics hold a backlog of so many events, which
/// the stage works off first: nobody's events wait for it.
pub(super) async fn measure(
    stand: &Stand,
    key: &str,
    backlog: u64,
    during: Duration,
) -> anyhow::Result<Proofs> {
    let database = stand.database("log_proofs").await?;
    let program = Program {
        args: vec!["run".to_owned(), "audit".to_owned()],
        env: vec![("WEIR_AUDIT__SIGNING_KEY", key.to_owned())],
    };
    let stage = stand.process(program, &database).await?;
    worked_off(&database, backlog).await?;
    let (sender, receiver) = mpsc::channel(1);
    let prover = tokio::spawn(prove(database.clone(), receiver));
    publish(stand, WARM_UP + during, sender).await?;
    let Measured { from_commit, from_acceptance, signed } = prover.await??;
    stage.stop().await?;
    sinks::postgres::drop_database(&stand.endpoints.maintenance_url, "log_proofs").await?;
    let entries = from_commit.len();
    if entries == 0 {
        bail!("no entry was proven after the warm-up");
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let signed_percent = signed as f64 * 100.0 / entries as f64;
    Ok(Proofs {
        events_per_s: RATE,
        entries,
        from_commit: Quantiles::of(from_commit),
        from_acceptance: Quantiles::of(from_acceptance),
        signed_percent,
    })
}

/// Waits until the stage has settled so many events.
async fn worked_off(database: &str, events: u64) -> anyhow::Result<()> {
    let pool = sinks::postgres::operator_pool(database, 1)?;
    let settled = async {
        loop {
            let positions = sinks::positions::read_all(&pool).await?;
            let settled: i64 = positions.iter().map(|p| p.applied + p.duplicate + p.ignored + p.parked).sum();
            if u64::try_from(settled).is_ok_and(|settled| settled >= events) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    timeout(WORKED_OFF_WITHIN, settled)
        .await
        .with_context(|| format!("{events} events were not settled within {WORKED_OFF_WITHIN:?}"))?
}

async fn publish(stand: &Stand, during: Duration, samples: mpsc::Sender<Sample>) -> anyhow::Result<()> {
    let producer = stand.producer(Purpose::Gateway)?;
    let mut events = generate::cloudtrail_events(0);
    let mut tick = interval(Duration::from_secs(1) / RATE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (started, mut count, only) = (Instant::now(), 0_u64, Arc::new(Semaphore::new(1)));
    while started.elapsed() < during {
        tick.tick().await;
        let event = events.next().context("the generator never ends")?;
        let (tenant, id) = (event.tenant.clone(), *event.id.as_uuid());
        let delivery = producer.send(&event)?;
        let (samples, only) = (samples.clone(), Arc::clone(&only));
        let is_sampled = count.is_multiple_of(SAMPLED) && started.elapsed() >= WARM_UP;
        count += 1;
        tokio::spawn(async move {
            let (answer, accepted) = (delivery.await, Instant::now());
            if let (true, Ok(at)) = (is_sampled, answer)
                && let Ok(only) = only.try_acquire_owned()
            {
                drop(samples.try_send(Sample { tenant, event: id, at, accepted, _only: only }));
            }
        });
    }
    Ok(())
}

async fn prove(database: String, mut sampled: mpsc::Receiver<Sample>) -> anyhow::Result<Measured> {
    let mut connection = sinks::postgres::operator_pool(&database, 1)?.acquire().await?;
    let readers = reader_pool(&database, 1)?;
    let mut measured = Measured::default();
    while let Some(Sample { tenant, event, at, accepted, _only }) = sampled.recv().await {
        let visible = async {
            let mut look = interval(Duration::from_millis(1));
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                look.tick().await;
                let positions = sinks::positions::reached(&mut connection, "audit").await?;
                let is_there = |(topic, partition, position): &(String, i32, i64)| {
                    topic == at.topic.name() && *partition == at.partition && *position > at.offset
                };
                if positions.iter().any(is_there) {
                    return anyhow::Ok(());
                }
            }
        };
        timeout(SEEN_WITHIN, visible)
            .await
            .with_context(|| format!("event {event} did not become visible within {SEEN_WITHIN:?}"))??;
        let began = Instant::now();
        let proof = tenants_entry_proof(&readers, &tenant, event).await?;
        let proof = proof.with_context(|| format!("the entry of {event} is committed and has no proof"))?;
        measured.from_commit.push(began.elapsed());
        measured.from_acceptance.push(accepted.elapsed());
        measured.signed += usize::from(proof.place.checkpoint.is_some());
    }
    Ok(measured)
}
