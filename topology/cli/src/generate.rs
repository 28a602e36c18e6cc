//! `weir generate`: a believable organisation's events, straight to the topics.

use std::{num::NonZeroU32, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use producers::{
    generate::{self, Generator, GeneratorConfig, Mix, Rate, RunSummary},
    kafka::{Producer, Purpose},
};
use schemas::{Envelope, TenantId, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{Outcome, acted_for::acted_for, output::note, place::Place, shutdown, up::LOCAL_TENANT};

/// Events that the demo begins with, so that there is a past to search.
const DEMO_PAST: u64 = 5_000;
/// Events a second after that.
const DEMO_RATE: NonZeroU32 = NonZeroU32::new(20).expect("not zero");

/// Arguments of `weir generate`.
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// Number of events; the last one happens now.
    #[arg(long, required_unless_present = "demo")]
    events: Option<u64>,
    /// Events per second. Without it: as fast as Kafka takes them.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// The same seed and start give the same events.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Time of the last event, RFC 3339; now, if not given.
    #[arg(long)]
    ending_at: Option<Timestamp>,
    /// Tenant of the events; without it, that of the local deployment.
    #[arg(long, env = "WEIR_TENANT")]
    tenant: Option<String>,
    /// Only API calls and sign-ins, each with its native record of about 2 KB.
    #[arg(long)]
    cloudtrail: bool,
    /// Some thousand events of the past, then twenty a second until stopped.
    #[arg(long, conflicts_with_all = ["events", "rate", "ending_at"])]
    demo: bool,
}

/// Publishes; returns when every event is acknowledged.
pub(super) async fn generate(args: GenerateArgs) -> anyhow::Result<Outcome> {
    let tenant = acted_for(args.tenant.as_deref())?;
    let place = Place::find().await?;
    let producer = place.producer("generate", Purpose::Bulk).await?;
    let stop = shutdown::on_signal();
    let past = args.events.unwrap_or(DEMO_PAST);
    let end = args.ending_at.unwrap_or_else(now);
    let mut config = GeneratorConfig::ending_at(end, past, tenant.clone());
    if args.cloudtrail {
        config.mix = Mix::CloudTrail;
    }
    let rate = args.rate.and_then(NonZeroU32::new).map_or(Rate::Unlimited, Rate::PerSecond);
    let events = Generator::new(args.seed, config).take(usize::try_from(past)?);
    let bar = bar(past);
    let done =
        generate::run(events, rate, &producer, &stop, |progress| bar.set_position(progress.acknowledged))
            .await?;
    bar.finish_and_clear();
    tell(&done);
    if args.demo && !done.stopped {
        let config = GeneratorConfig::live(now(), DEMO_RATE.get(), tenant);
        let events = Generator::new(args.seed.wrapping_add(1), config);
        tell(&generate::run(events, Rate::PerSecond(DEMO_RATE), &producer, &stop, |_| {}).await?);
        // Stopping is how the demo ends.
        return Ok(Outcome::Done);
    }
    Ok(if done.stopped { Outcome::Interrupted } else { Outcome::Done })
}

/// Publishes so many CloudTrail events as fast as Kafka takes them; for benchmarks.
pub(super) async fn publish_cloudtrail(producer: &Producer, events: u64) -> anyhow::Result<()> {
    publish(producer, cloudtrail_events(1).take(usize::try_from(events)?)).await
}

/// Publishes events as fast as Kafka takes them; for benchmarks.
pub(super) async fn publish(
    producer: &Producer,
    events: impl Iterator<Item = Envelope>,
) -> anyhow::Result<()> {
    generate::run(events, Rate::Unlimited, producer, &CancellationToken::new(), |_| {}).await?;
    Ok(())
}

/// CloudTrail events of the last days, without end.
pub(super) fn cloudtrail_events(seed: u64) -> Generator {
    endless(seed, Mix::CloudTrail, now())
}

/// Events of the mix, without end; the millionth happens about `then`.
pub(super) fn endless(seed: u64, mix: Mix, then: Timestamp) -> Generator {
    let tenant = TenantId::new(LOCAL_TENANT).expect("the local tenant's name is valid");
    let mut config = GeneratorConfig::ending_at(then, 1_000_000, tenant);
    config.mix = mix;
    Generator::new(seed, config)
}

pub(super) fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

/// Drawn on a terminal only, and not where `--quiet` asks for silence.
fn bar(events: u64) -> ProgressBar {
    if tracing::level_filters::LevelFilter::current() < tracing::level_filters::LevelFilter::WARN {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(events);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} events  {per_sec}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn tell(summary: &RunSummary) {
    if tracing::enabled!(tracing::Level::WARN) {
        note(&format!("{} events published in {:.1} s", summary.published, took(summary.took)));
    }
}

fn took(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
