//! Settings of the gateway and their defaults.

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
use schemas::changes::waivers::GrantedWaivers;
use tokio::sync::watch;

use super::{policy::Budgets, shares::TenantQuotas, signature::WebhookSecrets};
use crate::kafka::{QUEUE_BYTES, QUEUE_RECORDS};

/// The waivers that hold, as they are now.
pub type WaiversWatch = watch::Receiver<Arc<GrantedWaivers>>;

/// The gateway's settings.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Address to listen on; port 0 takes a free port.
    pub listen: SocketAddr,
    /// TLS certificate. Without one the gateway speaks clear text, HTTP/1.1 only: TLS is terminated in front
    /// of it.
    pub tls: Option<TlsConfig>,
    /// Separate listener for health and metrics; without it they are served by the main one.
    pub admin: Option<Admin>,
    /// Limits on sizes and counts.
    pub limits: Limits,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Issuers whose tokens are accepted beside API keys.
    pub identities: Arc<Identities>,
    /// Rate limits by caller.
    pub rates: Rates,
    /// Publishing quotas of a tenant, over all of its credentials.
    pub quotas: TenantQuotas,
    /// Limits of single tenants, which override these, and usage by tenant.
    pub tenants: Tenants,
    /// Proxies whose `X-Forwarded-For` is trusted. Connections from them are not counted per address.
    pub trusted_proxies: Vec<IpNet>,
    /// Secrets of GitHub webhooks, by tenant.
    pub github: WebhookSecrets,
    /// Compliance policies in force.
    pub policies: InForce,
    /// Granted waivers, which decisions honour; renewed by whoever reads them from the database.
    pub waivers: WaiversWatch,
    /// Whoever knows how budgets stand; without it plans are decided about without them.
    pub budgets: Option<Arc<dyn Budgets>>,
    /// Renders `GET /metrics`; without it there is no such route.
    pub metrics: Option<RenderMetrics>,
}

/// The listener for probes and scrapers, in clear text: for loopback or a private network.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Address to listen on; port 0 takes a free port.
    pub listen: SocketAddr,
    /// Renders `GET /metrics`.
    pub metrics: RenderMetrics,
}

impl GatewayConfig {
    /// Configuration of the listener.
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
            waivers: watch::channel(Arc::default()).1,
            budgets: None,
            metrics: None,
        }
    }
}

/// Limits on sizes and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Maximum size of a body as sent, in bytes.
    pub body_bytes: usize,
    /// The same for records of other systems, whose senders choose the batch size and do not compress.
    pub records_bytes: usize,
    /// Maximum size of a decoded body, in bytes.
    pub decoded_bytes: usize,
    /// Maximum ratio of decoded to sent bytes.
    pub decoded_ratio: usize,
    /// Maximum size of all bodies in flight, sent and decoded, in bytes. A tenant may take a quarter of it.
    pub in_hand_bytes: usize,
    /// Size of the producer's send queue, in records. A tenant may take a quarter of it.
    pub queue_records: usize,
    /// Size of the producer's send queue, in bytes. A tenant may take a quarter of it.
    pub queue_bytes: usize,
    /// Maximum size of webhook bodies for known tenants before their signature is checked, in bytes. A tenant
    /// may take a quarter of it, and one address half of that.
    pub unproven_bytes: usize,
    /// Maximum size of webhook bodies for unknown tenants, in bytes. An address may take a quarter of it.
    pub stranger_bytes: usize,
    /// Minimum rate of a body in each interval of [`Timeouts::body`], in bytes a second.
    pub body_bytes_per_second: u32,
    /// Limits on request line and headers.
    pub head: HeadLimits,
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of connections from one address.
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
            queue_records: QUEUE_RECORDS,
            queue_bytes: QUEUE_BYTES,
            unproven_bytes: 16 * 1024 * 1024,
            stranger_bytes: 4 * 1024 * 1024,
            body_bytes_per_second: 64 * 1024,
            head: HeadLimits::default(),
            connections: 4_096,
            connections_per_address: 128,
        }
    }
}

/// Time limits of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// From accepting a connection to the end of its TLS handshake; then the connection is closed.
    pub handshake: Duration,
    /// From accepting a connection, or the last response, to the end of a request's head; then the connection
    /// is closed.
    pub head: Duration,
    /// Interval in which a body must end, or bring [`Limits::body_bytes_per_second`]; otherwise 408.
    pub body: Duration,
    /// From the body to the response; then 503. Longer than the producer's `delivery.timeout.ms`.
    pub handler: Duration,
    /// Time after which a client that reads nothing of its response is disconnected.
    pub write: Duration,
    /// On shutdown, for requests in flight.
    pub drain: Duration,
    /// On shutdown, after that, for Kafka's acknowledgements.
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
