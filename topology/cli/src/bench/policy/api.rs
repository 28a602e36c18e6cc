//! The decision API at a rate: a gateway in this process, with a Kafka of its own, asked over loopback.
//!
//! Requests are sent by the clock, whether earlier ones are answered or not; a time counts from the instant at which the
//! request was due.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use policies::{Config, InForce, PolicySet};
use producers::{
    gateway::{Gateway, GatewayConfig, KafkaPublisher, Publisher, Rates, TenantQuotas},
    kafka::{ProducerConfig, Purpose},
};
use reqwest::StatusCode;
use schemas::{
    TenantId, Timestamp,
    access::{ApiKey, KeyRing, Pepper, Scope},
    codec::Framing,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::super::{machine, stand::Stand};
use crate::{output::note, status::use_tls_provider};

const WARM_UP: Duration = Duration::from_secs(3);
/// The secret of the one key.
const SECRET: &str = "0123456789012345678901234567890123456789012";
const KEY: &str = "bench000";
/// Resources of a plan that is asked about.
const RESOURCES: u32 = 10;

/// One kind of request.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) what: &'static str,
    pub(super) requests_per_s: f64,
    pub(super) requests: usize,
    pub(super) failed: u32,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// One sync of a page of the disk, meanwhile: a durable decision waits for the broker, which may wait for it.
    disk_sync_p99_ms: f64,
}

/// Requests of one kind.
struct Kind {
    what: &'static str,
    query: &'static str,
    body: Body,
    expected: StatusCode,
}

/// Bodies of one kind. They are made before a request is due, so that the generator takes little of the processor.
#[derive(Clone, Copy)]
enum Body {
    /// No document: the request is refused once it is read, which measures the generator and the HTTP layer.
    Nothing,
    /// One plan again and again.
    Same,
    /// A plan that differs from all earlier ones.
    New,
}

/// Text in a plan that the number of the request replaces.
const NUMBER: &str = "(number)";

const KINDS: [Kind; 4] = [
    Kind {
        what: "refused (the generator's own cost)",
        query: "?mode=advise",
        body: Body::Nothing,
        expected: StatusCode::BAD_REQUEST,
    },
    Kind { what: "cached, advise", query: "?mode=advise", body: Body::Same, expected: StatusCode::OK },
    Kind { what: "not cached, advise", query: "?mode=advise", body: Body::New, expected: StatusCode::OK },
    Kind {
        what: "cached, durable (block)",
        query: "?mode=block",
        body: Body::Same,
        expected: StatusCode::OK,
    },
];

/// Holds the rate for each kind of request.
pub(super) async fn measure(rate: u32, seconds: u32) -> anyhow::Result<Vec<Run>> {
    let stand = Stand::start().await?;
    let producer = ProducerConfig {
        bootstrap: stand.endpoints.kafka.clone(),
        purpose: Purpose::Gateway,
        client_id: "weir-bench".to_owned(),
        extra: std::collections::BTreeMap::new(),
    };
    let publisher: Arc<dyn Publisher> = Arc::new(KafkaPublisher::new(producer, Framing::SingleObject)?);
    let config = GatewayConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        rates: Rates { per_key_per_minute: None, ..Rates::default() },
        quotas: TenantQuotas { requests_per_minute: None, events_per_minute: None, kib_per_minute: None },
        policies: InForce::new(PolicySet::own(Config::default())),
        ..GatewayConfig::default()
    };
    let gateway = Gateway::bind(config).await?;
    let address = gateway.address();
    let (_keys, watched) = watch::channel(Some(Arc::new(ring()?)));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(gateway.serve(publisher, watched, stop.clone()));
    use_tls_provider();
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(256).build()?;
    let mut runs = Vec::new();
    for kind in &KINDS {
        let url = format!("http://{address}/api/v1/policy/evaluate{}", kind.query);
        let disk = machine::DiskProbe::start(&stand.dir).context("trying the disk")?;
        let (times, failed) = hold(&client, &url, kind, (rate, seconds)).await?;
        let mut syncs = disk.end().context("trying the disk")?;
        syncs.sort_unstable();
        let run = summarise(kind.what, times, failed, (seconds, &syncs))?;
        note(&format!("{}: P50 {:.2}, P99 {:.2} ms", run.what, run.p50_ms, run.p99_ms));
        runs.push(run);
    }
    stop.cancel();
    serving.await.context("the gateway panicked")??;
    Ok(runs)
}

fn ring() -> anyhow::Result<KeyRing> {
    let pepper = Pepper::new("bench");
    let key = ApiKey {
        id: KEY.to_owned(),
        tenant: TenantId::new("bench")?,
        name: KEY.to_owned(),
        scopes: vec![Scope::PolicyEvaluate],
        secret_hmac: pepper.hash(SECRET),
        created_at: Timestamp::UNIX_EPOCH,
        revoked_at: None,
        expires_at: None,
        last_used_at: None,
        sources: Vec::new(),
        networks: Vec::new(),
    };
    Ok(KeyRing::new(pepper, [key]))
}

/// A plan of ten resources, with [`NUMBER`] in their names.
fn plan() -> Value {
    let resource = |at: u32| {
        let name = format!("{NUMBER}-{at}");
        let (kind, after) = match at % 3 {
            0 => ("aws_s3_bucket", json!({"bucket": name, "tags": {"team": "shop"}})),
            1 => ("aws_kms_key", json!({"description": name, "enable_key_rotation": true})),
            _ => ("aws_sqs_queue", json!({"name": name, "sqs_managed_sse_enabled": true})),
        };
        json!({
            "address": format!("{kind}.r{at}"), "mode": "managed", "type": kind, "name": format!("r{at}"),
            "change": {"actions": ["create"], "before": null, "after": after, "after_unknown": {}},
        })
    };
    json!({"format_version": "1.2", "resource_changes": (0..RESOURCES).map(resource).collect::<Vec<_>>()})
}

/// Sends at the rate; how long each answer after the warm-up took, and how many failed.
async fn hold(
    client: &reqwest::Client,
    url: &str,
    kind: &Kind,
    (rate, seconds): (u32, u32),
) -> anyhow::Result<(Vec<Duration>, u32)> {
    let rate = NonZeroU32::new(rate).context("a rate above 0")?;
    let mut tick = interval(Duration::from_secs(1) / rate.get());
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let failed = Arc::new(AtomicU32::new(0));
    let mut asked = JoinSet::new();
    let template = match kind.body {
        Body::Nothing => "{}".to_owned(),
        Body::Same | Body::New => plan().to_string(),
    };
    let same = Bytes::from(template.clone());
    let (began, mut n, mut times) = (Instant::now(), 0_u32, Vec::new());
    while began.elapsed() < WARM_UP + Duration::from_secs(seconds.into()) {
        let body = match kind.body {
            Body::New => template.replace(NUMBER, &n.to_string()).into(),
            Body::Nothing | Body::Same => same.clone(),
        };
        let due = tick.tick().await;
        n += 1;
        let is_counted = due.duration_since(began) >= WARM_UP;
        let request = client
            .post(url)
            .header("authorization", format!("Bearer weir_{KEY}_{SECRET}"))
            .header("content-type", "application/json")
            .body(body);
        let (failed, expected) = (Arc::clone(&failed), kind.expected);
        asked.spawn(async move {
            let answer = async {
                let answer = request.send().await?;
                let status = answer.status();
                answer.bytes().await.map(|_| status)
            };
            if answer.await.ok() != Some(expected) {
                failed.fetch_add(1, Relaxed);
            }
            is_counted.then(|| due.elapsed())
        });
        while let Some(took) = asked.try_join_next() {
            times.extend(took?);
        }
    }
    while let Some(took) = asked.join_next().await {
        times.extend(took?);
    }
    Ok((times, failed.load(Relaxed)))
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn summarise(
    what: &'static str,
    mut times: Vec<Duration>,
    failed: u32,
    (seconds, syncs): (u32, &[Duration]),
) -> anyhow::Result<Run> {
    ensure!(!times.is_empty(), "nothing was answered after the warm-up");
    times.sort_unstable();
    let quantile = |sorted: &[Duration], percent: usize| {
        let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(place).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    Ok(Run {
        what,
        requests_per_s: times.len() as f64 / f64::from(seconds),
        requests: times.len(),
        failed,
        p50_ms: quantile(&times, 50),
        p95_ms: quantile(&times, 95),
        p99_ms: quantile(&times, 99),
        max_ms: quantile(&times, 100),
        disk_sync_p99_ms: quantile(syncs, 99),
    })
}
