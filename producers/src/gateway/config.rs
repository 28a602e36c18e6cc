//! Everything that can be set about the gateway, and what it is unless it is set.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use edge::{
    ConnectionLimits, Listen, RenderMetrics, head::HeadLimits, identity::Identities, rates::Rates,
    tenants::Tenants, tls::TlsConfig,
};
use ipnet::IpNet;
use policies::InForce;

use super::{shares::TenantQuotas, signature::WebhookSecrets};

/// The gateway's settings.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its certificate. Without one it speaks clear text, HTTP/1.1 only: TLS ends in front of it.
    pub tls: Option<TlsConfig>,
    /// Health and metrics on a listener of their own; without it they are on the main one only.
    pub admin: Option<Admin>,
    /// Sizes and counts beyond which requests are refused.
    pub limits: Limits,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// The issuers whose tokens are taken beside API keys.
    pub identities: Arc<Identities>,
    /// How often anybody may ask.
    pub rates: Rates,
    /// How much a tenant may publish, with all its credentials together.
    pub quotas: TenantQuotas,
    /// The limits that single tenants have in place of these, and what each uses.
    pub tenants: Tenants,
    /// Proxies whose `X-Forwarded-For` is believed. Connections from them are not counted per address.
    pub trusted_proxies: Vec<IpNet>,
    /// What GitHub signs its webhooks with, by tenant.
    pub github: WebhookSecrets,
    /// The compliance policies that decisions are made by.
    pub policies: InForce,
    /// What `GET /metrics` answers beside the events; without it there is no such route.
    pub metrics: Option<RenderMetrics>,
}

/// The listener for probes and scrapers, in clear text: for loopback, or a network of one's own.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What `GET /metrics` answers there.
    pub metrics: RenderMetrics,
}

impl GatewayConfig {
    /// What the edge is told of it.
    pub(super) fn listener(&self) -> Listen {
        let (limits, timeouts) = (&self.limits, &self.timeouts);
        Listen {
            limits: ConnectionLimits {
                connections: limits.connections,
                per_address: limits.connections_per_address,
                handshake: timeouts.handshake,
                head: timeouts.head,
                write: timeouts.write,
                drain: timeouts.drain,
                ..ConnectionLimits::default()
            },
            trusted_proxies: self.trusted_proxies.clone(),
            tls: self.tls.clone(),
            ..Listen::at("gateway", self.listen)
        }
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls: None,
            admin: None,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            identities: Arc::default(),
            rates: Rates::default(),
            quotas: TenantQuotas::default(),
            tenants: Tenants::default(),
            trusted_proxies: Vec::new(),
            github: WebhookSecrets::default(),
            policies: InForce::own(),
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
    /// Bytes of all requests in hand, as sent and decoded. A tenant has a quarter of it.
    pub in_hand_bytes: usize,
    /// Bytes of webhooks for known tenants whose signature is not checked yet. A tenant has a quarter of it, and of that
    /// one address half.
    pub unproven_bytes: usize,
    /// Bytes of webhooks for unknown tenants. An address has a quarter of it.
    pub stranger_bytes: usize,
    /// Bytes a second that a body must bring, in each span of [`Timeouts::body`].
    pub body_bytes_per_second: u32,
    /// Request line and headers.
    pub head: HeadLimits,
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
            in_hand_bytes: 64 * 1024 * 1024,
            unproven_bytes: 16 * 1024 * 1024,
            stranger_bytes: 4 * 1024 * 1024,
            body_bytes_per_second: 64 * 1024,
            head: HeadLimits::default(),
            connections: 4_096,
            connections_per_address: 128,
        }
    }
}

/// How long anything may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection to the end of its TLS handshake; then the connection is closed.
    pub handshake: Duration,
    /// From the connection, or the last answer, to the end of a request's head; then the connection is closed.
    pub head: Duration,
    /// In each such span a body must end, or bring [`Limits::body_bytes_per_second`]; else 408.
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
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body: Duration::from_secs(5),
            handler: Duration::from_secs(15),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(13),
            flush: Duration::from_secs(10),
        }
    }
}
