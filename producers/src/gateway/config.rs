//! Everything that can be set about the gateway, and what it is unless it is set.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use super::signature::WebhookSecrets;

/// The gateway's settings.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where to listen; port 0 takes a free one. Clear text: TLS ends in front of it.
    pub listen: SocketAddr,
    /// Sizes and counts beyond which requests are refused.
    pub limits: Limits,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// How often anybody may ask.
    pub rates: Rates,
    /// Proxies whose `X-Forwarded-For` is believed. Connections from them are not counted per address.
    pub trusted_proxies: Vec<IpNet>,
    /// What GitHub signs its webhooks with, by tenant.
    pub github: WebhookSecrets,
    /// What `GET /metrics` answers; without it there is no such route.
    pub metrics: Option<RenderMetrics>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            rates: Rates::default(),
            trusted_proxies: Vec::new(),
            github: WebhookSecrets::default(),
            metrics: None,
        }
    }
}

/// Sizes and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Body as sent, in bytes.
    pub body_bytes: usize,
    /// The same for another system's records. Such senders choose the size of a batch and do not compress.
    pub records_bytes: usize,
    /// Body once decoded, in bytes.
    pub decoded_bytes: usize,
    /// Decoded bytes per sent byte.
    pub decoded_ratio: usize,
    /// Decoded bytes of all requests in hand.
    pub in_hand_bytes: usize,
    /// Bytes of webhooks whose signature is not checked yet: strangers cannot use up what others need.
    pub unproven_bytes: usize,
    /// Request headers.
    pub headers: usize,
    /// Request line and headers together, in bytes.
    pub head_bytes: usize,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            records_bytes: 8 * 1024 * 1024,
            decoded_bytes: 8 * 1024 * 1024,
            decoded_ratio: 100,
            in_hand_bytes: 16 * 1024 * 1024,
            unproven_bytes: 4 * 1024 * 1024,
            headers: 64,
            head_bytes: 16 * 1024,
            connections: 4_096,
            connections_per_address: 128,
        }
    }
}

/// How long anything may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection, or the last answer, to the end of a request's head; then the connection is closed.
    pub head: Duration,
    /// From the head to the end of the body; then 408.
    pub body: Duration,
    /// From the body to the answer; then 503. Longer than the producer's `delivery.timeout.ms`.
    pub handler: Duration,
    /// A client that takes not one byte of its answer for this long is cut off.
    pub write: Duration,
    /// When stopping: for the requests in hand.
    pub drain: Duration,
    /// When stopping, after that: for Kafka's acknowledgements.
    pub flush: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            handler: Duration::from_secs(15),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(13),
            flush: Duration::from_secs(10),
        }
    }
}

/// How often anybody may ask. A tenth of a minute's worth may come at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Requests a minute for each API key and class of routes; `None` for no limit.
    pub per_key_per_minute: Option<NonZeroU32>,
    /// Failed logins a minute for each address, all of which may come at once.
    pub failed_logins_per_minute: NonZeroU32,
    /// Callers remembered at once; beyond it new ones share one allowance.
    pub max_keys: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            per_key_per_minute: NonZeroU32::new(1_000),
            failed_logins_per_minute: NonZeroU32::new(30).unwrap_or(NonZeroU32::MIN),
            max_keys: 100_000,
        }
    }
}

/// Renders the metrics in Prometheus' text format.
#[derive(Clone)]
pub struct RenderMetrics(Arc<dyn Fn() -> String + Send + Sync>);

impl RenderMetrics {
    /// Takes the exporter's render function.
    pub fn new(render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(render))
    }

    pub(super) fn render(&self) -> String {
        (self.0)()
    }
}

impl fmt::Debug for RenderMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RenderMetrics(..)")
    }
}
