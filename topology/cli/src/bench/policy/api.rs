//! The decision API at a rate: a gateway in this process, with a Kafka of its own, asked over loopback.
//!
//! The same requests go to a server that reads them and answers a fixed text, in the same run: its times are those of the
//! generator, the kernel and the HTTP library, of which every other row has its share.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, routing::post, serve::ListenerExt as _};
use bytes::Bytes;
use policies::{Config, InForce, PolicySet};
use producers::{
    gateway::{Gateway, GatewayConfig, KafkaPublisher, Publisher, Rates, TenantQuotas},
    kafka::{ProducerConfig, Purpose},
};
use schemas::{
    TenantId, Timestamp,
    access::{ApiKey, KeyRing, Pepper, Scope},
    codec::Framing,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{
    super::{machine, stand::Stand},
    generator::{Load, Times},
    own_time::OwnTime,
};
use crate::output::note;

const WARM_UP: Duration = Duration::from_secs(3);
/// The secret of the one key.
const SECRET: &str = "0123456789012345678901234567890123456789012";
const KEY: &str = "bench000";
/// Resources of a plan that is asked about.
const RESOURCES: u32 = 10;

/// One kind of request. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) what: &'static str,
    pub(super) requests_per_s: f64,
    pub(super) requests: usize,
    pub(super) failed: u32,
    /// From the instant at which a request was due to the end of its response.
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// From that instant until the request was sent: by so much the generator itself was late.
    pub(super) sent_late_p99_ms: f64,
    /// Within the gateway, from the head of the request to the response.
    pub(super) own_p50_ms: Option<f64>,
    pub(super) own_p99_ms: Option<f64>,
    /// One sync of a page of the disk, meanwhile: a durable decision waits for the broker, which may wait for it.
    disk_sync_p99_ms: f64,
}

/// Requests of one kind.
struct Kind {
    what: &'static str,
    /// Path and query; of the trivial server, or of the gateway.
    path: &'static str,
    server: Server,
    body: Body,
}

/// The server that is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    /// One that reads the request and answers a fixed text.
    Trivial,
    Gateway,
}

/// Bodies of one kind.
#[derive(Clone, Copy)]
enum Body {
    /// One plan again and again.
    Same,
    /// A plan that differs from all earlier ones.
    New,
}

/// Text in a plan that the number of the request replaces.
const NUMBER: &str = "(number)";

const KINDS: [Kind; 4] = [
    Kind { what: "none: a fixed answer", path: "/", server: Server::Trivial, body: Body::Same },
    Kind {
        what: "cached, advise",
        path: "/api/v1/policy/evaluate?mode=advise",
        server: Server::Gateway,
        body: Body::Same,
    },
    Kind {
        what: "not cached, advise",
        path: "/api/v1/policy/evaluate?mode=advise",
        server: Server::Gateway,
        body: Body::New,
    },
    Kind {
        what: "cached, durable (block)",
        path: "/api/v1/policy/evaluate?mode=block",
        server: Server::Gateway,
        body: Body::Same,
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
    let (own, runtime) = OwnTime::runtime()?;
    let gateway = runtime.spawn(Gateway::bind(config)).await??;
    let addresses = Addresses { gateway: gateway.address(), trivial: runtime.spawn(trivial()).await?? };
    let (_keys, watched) = watch::channel(Some(Arc::new(ring()?)));
    let stop = CancellationToken::new();
    let serving = runtime.spawn(gateway.serve(publisher, watched, stop.clone()));
    let mut runs = Vec::new();
    for kind in &KINDS {
        let disk = machine::DiskProbe::start(&stand.dir).context("trying the disk")?;
        let times = hold(kind, addresses, (rate, seconds), &own).await?;
        let mut syncs = disk.end().context("trying the disk")?;
        syncs.sort_unstable();
        let mut within = own.take();
        within.sort_by(f64::total_cmp);
        let run = summarise(kind, &times, &within, seconds, &syncs);
        note(&format!("{}: P50 {:.2}, P99 {:.2} ms", run.what, run.p50_ms, run.p99_ms));
        runs.push(run);
    }
    stop.cancel();
    serving.await.context("the gateway panicked")??;
    runtime.shutdown_background();
    Ok(runs)
}

#[derive(Clone, Copy)]
struct Addresses {
    gateway: SocketAddr,
    trivial: SocketAddr,
}

/// Starts the server that answers a fixed text; it ends with the process.
async fn trivial() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    // The stream reports a failure when it is read.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let router = Router::new().route("/", post(|_: Bytes| async { "{\"decision\":\"allow\"}" }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

fn ring() -> anyhow::Result<KeyRing> {
    let pepper = Pepper::new("bench");
    let key = ApiKey {
        id: KEY.to_owned(),
        succeeds: None,
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

/// Sends at the rate, from threads beside the runtime that serves.
async fn hold(
    kind: &Kind,
    addresses: Addresses,
    (rate, seconds): (u32, u32),
    own: &OwnTime,
) -> anyhow::Result<Times> {
    let template = plan().to_string();
    let (path, what) = (kind.path, kind.body);
    let address = if kind.server == Server::Trivial { addresses.trivial } else { addresses.gateway };
    let sending = tokio::task::spawn_blocking(move || {
        let body = |number: u32| match what {
            Body::New => template.replace(NUMBER, &number.to_string()),
            Body::Same => template.clone(),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer weir_{KEY}_{SECRET}\r\n\
             content-type: application/json\r\n"
        );
        let counted = Duration::from_secs(seconds.into());
        Load { address, head, body: &body, rate, warm_up: WARM_UP, counted }.run()
    });
    tokio::time::sleep(WARM_UP).await;
    own.take();
    sending.await.context("the generator panicked")?
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn summarise(kind: &Kind, times: &Times, within: &[f64], seconds: u32, syncs: &[Duration]) -> Run {
    let of = |sorted: &[Duration], percent| at(sorted, percent).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    let own = |percent| {
        let measured = (kind.server == Server::Gateway).then(|| at(within, percent)).flatten();
        measured.map(|seconds| seconds * 1e3)
    };
    Run {
        what: kind.what,
        requests_per_s: times.answered.len() as f64 / f64::from(seconds),
        requests: times.answered.len(),
        failed: times.failed,
        p50_ms: of(&times.answered, 50),
        p95_ms: of(&times.answered, 95),
        p99_ms: of(&times.answered, 99),
        max_ms: of(&times.answered, 100),
        sent_late_p99_ms: of(&times.sent_late, 99),
        own_p50_ms: own(50),
        own_p99_ms: own(99),
        disk_sync_p99_ms: of(syncs, 99),
    }
}

/// The value below which so many percent lie.
fn at<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied()
}
