//! The real server on a loopback socket, with a scripted publisher in place of Kafka.

mod access;
mod authority;
mod commands;
mod encrypted;
mod json;
mod kafka;
mod life;
mod policy;
mod publish;
mod senders;
mod shares;
mod sources;
mod transport;
mod webhook;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{self, BoxFuture, FutureExt};
use metrics_exporter_prometheus::PrometheusHandle;
use schemas::{
    Envelope, TenantId, Timestamp, TraceContext,
    access::{ApiKey, KeyRing, Pepper, Scope},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Delivery, Gateway, GatewayConfig, GatewayError, Publisher, Rates};
use crate::kafka::{Acknowledged, DeliveryFailure, Health, SendError};

/// Ends a test that would hang; nothing is asserted by it.
const HANGING: Duration = Duration::from_mins(1);

/// Outcome of the events from the given index on.
#[derive(Debug, Clone)]
enum Fate {
    Stored,
    QueueFull,
    TooLarge,
    Fails(DeliveryFailure),
    NeverHeardOf,
    Panics,
}

struct Scripted {
    fates: Mutex<Vec<Fate>>,
    health: Mutex<Health>,
    published: Mutex<Vec<Envelope>>,
    hops: Mutex<Vec<Option<TraceContext>>>,
    offset: AtomicI64,
    unflushed: usize,
}

impl Scripted {
    fn new(fates: &[Fate]) -> Arc<Self> {
        Self::leaving(fates, 0)
    }

    fn leaving(fates: &[Fate], unflushed: usize) -> Arc<Self> {
        Arc::new(Self {
            fates: Mutex::new(fates.to_vec()),
            health: Mutex::new(Health::Ready),
            published: Mutex::default(),
            hops: Mutex::default(),
            offset: AtomicI64::new(0),
            unflushed,
        })
    }

    fn hops(&self) -> Vec<Option<TraceContext>> {
        self.hops.lock().expect("no test panics with it").clone()
    }

    fn published(&self) -> Vec<Envelope> {
        self.published.lock().expect("no test panics with it").clone()
    }
}

impl Publisher for Scripted {
    fn publish(&self, envelope: &Envelope, hop: Option<&TraceContext>) -> Result<Delivery, SendError> {
        let mut fates = self.fates.lock().expect("no test panics with it");
        let fate = if fates.is_empty() { Fate::Stored } else { fates.remove(0) };
        match fate {
            Fate::QueueFull => return Err(SendError::QueueFull),
            Fate::Panics => {
                drop(fates);
                panic!("a defect, on purpose");
            }
            Fate::TooLarge => return Err(SendError::TooLarge { bytes: 2_000_000 }),
            _ => {}
        }
        self.published.lock().expect("no test panics with it").push(envelope.clone());
        self.hops.lock().expect("no test panics with it").push(hop.cloned());
        let offset = self.offset.fetch_add(1, Ordering::Relaxed);
        let stored = Acknowledged { topic: envelope.event.topic(), partition: 3, offset };
        let bytes = envelope.native.as_ref().map_or(0, |native| native.record.len());
        Ok(match fate {
            Fate::Fails(failure) => Delivery::new(bytes, future::ready(Err(failure))),
            Fate::NeverHeardOf => Delivery::new(bytes, future::pending()),
            _ => Delivery::new(bytes, future::ready(Ok(stored))),
        })
    }

    fn health(&self) -> Health {
        self.health.lock().expect("no test panics with it").clone()
    }

    fn flush(&self, _at_most: Duration) -> BoxFuture<'_, usize> {
        future::ready(self.unflushed).boxed()
    }
}

struct Running {
    address: SocketAddr,
    admin: Option<SocketAddr>,
    kafka: Arc<Scripted>,
    keys: watch::Sender<Option<Arc<KeyRing>>>,
    shutdown: CancellationToken,
    ended: JoinHandle<Result<(), GatewayError>>,
}

/// A gateway whose keys are [`token`]'s, with no limit on requests.
fn config() -> GatewayConfig {
    GatewayConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        rates: Rates { per_key_per_minute: None, ..Rates::default() },
        ..GatewayConfig::default()
    }
}

async fn start() -> Running {
    start_with(config(), Scripted::new(&[])).await
}

async fn start_with(config: GatewayConfig, kafka: Arc<Scripted>) -> Running {
    let gateway = Gateway::bind(config).await.expect("a free port");
    let (address, admin) = (gateway.address(), gateway.admin_address());
    let (keys, watch) = watch::channel(Some(Arc::new(ring())));
    let shutdown = CancellationToken::new();
    let publisher: Arc<dyn Publisher> = kafka.clone();
    let ended = tokio::spawn(gateway.serve(publisher, watch, shutdown.clone()));
    Running { address, admin, kafka, keys, shutdown, ended }
}

/// A key of the tenant `acme`; `writer` may publish, `reader` may not.
fn token(id: &str) -> String {
    format!("weir_{id}_{}", "s".repeat(43))
}

const WRITER: &str = "writer00";
const READER: &str = "reader00";
/// May publish commands and nothing else.
const COMMANDER: &str = "command0";
/// May publish events and commands.
const BOTH: &str = "both0000";
/// May publish events and request approval.
const ASKER: &str = "asker000";
/// May publish events of `/tests/…`.
const NARROWED: &str = "narrowed";
/// May be used from another network.
const ELSEWHERE: &str = "elsewher";
/// May evaluate policies.
const DECIDER: &str = "decider0";
/// Has ended.
const EXPIRED: &str = "expired0";
/// May publish, for another tenant.
const NEIGHBOUR: &str = "neighbor";

fn ring() -> KeyRing {
    let pepper = Pepper::new("pepper");
    let key = |id: &str, scopes: &[Scope]| ApiKey {
        id: id.to_owned(),
        succeeds: None,
        tenant: TenantId::new("acme").expect("a tenant"),
        name: id.to_owned(),
        scopes: scopes.to_vec(),
        secret_hmac: pepper.hash(&"s".repeat(43)),
        created_at: Timestamp::UNIX_EPOCH,
        revoked_at: None,
        expires_at: None,
        last_used_at: None,
        sources: Vec::new(),
        networks: Vec::new(),
    };
    let keys = [
        key(WRITER, &[Scope::EventsWrite]),
        key(READER, &[Scope::Read]),
        key(COMMANDER, &[Scope::CommandsWrite]),
        key(BOTH, &[Scope::EventsWrite, Scope::CommandsWrite]),
        key(ASKER, &[Scope::EventsWrite, Scope::ChangesRequest]),
        key(DECIDER, &[Scope::PolicyEvaluate]),
        ApiKey { sources: vec!["/tests/*".into()], ..key(NARROWED, &[Scope::EventsWrite]) },
        ApiKey {
            networks: vec!["192.0.2.0/24".parse().expect("a network")],
            ..key(ELSEWHERE, &[Scope::EventsWrite])
        },
        ApiKey { expires_at: Some(Timestamp::UNIX_EPOCH), ..key(EXPIRED, &[Scope::EventsWrite]) },
        ApiKey {
            tenant: TenantId::new("neighbour").expect("a tenant"),
            ..key(NEIGHBOUR, &[Scope::EventsWrite])
        },
    ];
    KeyRing::new(pepper.clone(), keys)
}

/// Value of `weir_source_records_total` for a source and an outcome.
fn counted(rendered: &PrometheusHandle, source: &str, outcome: &str) -> u64 {
    let series = format!("weir_source_records_total{{source=\"{source}\",outcome=\"{outcome}\"}} ");
    let text = rendered.render();
    let value = text.lines().find_map(|line| line.strip_prefix(series.as_str()));
    value.map_or(0, |value| value.parse().expect("a count"))
}

/// Waits until events have reached the publisher.
async fn published_any(running: &Running) {
    let waiting = async {
        while running.kafka.published().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(HANGING, waiting).await.expect("the event reaches the publisher");
}

/// An event that every schema accepts.
fn event(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/tests", "type": "io.weir.activity.api_called.v1",
        "time": "2026-01-02T03:04:05Z", "datacontenttype": "application/json",
        "data": {"action": "CreateUser", "actor": {"kind": "ServiceAccount", "id": "ci"}},
    })
}

/// A request as raw bytes.
struct Ask {
    head: String,
    body: Vec<u8>,
}

impl Ask {
    fn new(method: &str, path: &str) -> Self {
        Self { head: format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n"), body: Vec::new() }
    }

    /// `POST /api/v1/events` by the writer.
    fn publish(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", "/api/v1/events")
            .header("authorization", &format!("Bearer {}", token(WRITER)))
            .header("content-type", content_type)
            .body(body)
    }

    fn structured(event: &Value) -> Self {
        Self::publish("application/cloudevents+json", event.to_string())
    }

    fn batch(events: &[Value]) -> Self {
        Self::publish("application/cloudevents-batch+json", Value::from(events).to_string())
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.head.extend([name, ": ", value, "\r\n"]);
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let length = match self.body.len() {
            0 => String::new(),
            n => format!("content-length: {n}\r\n"),
        };
        [self.head.as_bytes(), length.as_bytes(), b"\r\n", &self.body].concat()
    }

    async fn to(&self, running: &Running) -> Reply {
        let mut wire = Wire::open(running).await;
        wire.send(&self.bytes()).await;
        wire.reply().await.expect("an answer")
    }
}

/// A connection, read answer by answer.
struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Wire {
    async fn open(running: &Running) -> Self {
        Self::to(running.address).await
    }

    async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gateway listens");
        Self { stream, unread: Vec::new() }
    }

    /// Sends as much as the server reads: it may respond and close before it has read everything.
    async fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    /// The next answer, or `None` if the connection was closed instead.
    async fn reply(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).expect("a head is ASCII");
        let mut lines = head.trim_end().lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let mut headers: HashMap<String, String> = HashMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let all = headers.entry(name.to_ascii_lowercase()).or_default();
            all.push_str(if all.is_empty() { "" } else { ", " });
            all.push_str(value);
        }
        let length = headers.get("content-length").map_or(0, |n| n.parse().expect("a number"));
        while self.unread.len() < length {
            assert!(self.more().await, "the body is cut");
        }
        let body = self.unread.drain(..length).collect();
        Some(Reply { status: status.expect("a status line"), headers, body })
    }

    /// Whether the other side closes without another byte.
    async fn closed(&mut self) -> bool {
        self.unread.is_empty() && !self.more().await
    }

    async fn more(&mut self) -> bool {
        let reading = self.stream.read_buf(&mut self.unread);
        // A reset is a close, too: the gateway may close with bytes of ours unread.
        timeout(HANGING, reading).await.expect("an answer or an end").unwrap_or(0) > 0
    }
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The problem's slug; checks that the answer is a whole problem.
    #[track_caller]
    fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        for field in ["title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
        }
        // A 404 says nothing of its request.
        if self.status != 404 {
            assert_eq!(problem["request_id"], self.header("x-request-id"), "{problem}");
            assert!(problem["instance"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        let kind = problem["type"].as_str().expect("a type");
        kind.strip_prefix("/problems/").expect("a problem's path").to_owned()
    }

    #[track_caller]
    fn expect(&self, status: u16, slug: &str) {
        assert_eq!((self.status, self.problem().as_str()), (status, slug), "{}", self.json());
    }
}
