//! The HTTP gateway: events come in as CloudEvents, as other systems' records ([`sources`], [`webhook`]) and as
//! commands ([`commands`]), and are answered with 202 only once Kafka has them. Beside them it decides by compliance
//! policies ([`policy`]).
//!
//! One request, in order: the head is checked ([`edge::service`]), the caller is known, has the scope and is within its
//! rate ([`edge::access`]), the body is counted in as it arrives ([`body`]), decoded once ([`encoding`]), parsed by the
//! schemas' codec, authorised event by event ([`authority`]), handed to the [`Publisher`] and answered when every event
//! is settled ([`events`]).
//!
//! Nothing here keeps state between requests but rates; nothing waits without an end: a full queue, a missing broker and
//! too much in hand are answered with 503 and `Retry-After` at once.

mod authority;
mod body;
mod commands;
mod config;
mod encoding;
mod events;
mod firehose;
mod handshake;
mod health;
mod media;
mod policy;
mod publisher;
mod reading;
mod router;
mod settle;
mod shares;
mod signature;
mod sources;
#[cfg(test)]
mod tests;
mod webhook;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

pub use config::{Admin, GatewayConfig, Limits, Timeouts};
pub use edge::admission::KeyRingWatch;
pub use edge::rates::Rates;
use edge::{Listen, ListenError, Listener, Open, admission::Admission};
pub use publisher::{Delivery, KafkaPublisher, Publisher};
pub use router::openapi;
use schemas::TenantId;
pub use shares::TenantQuotas;
pub use signature::{InvalidSecrets, WebhookSecrets};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::{
    body::{Budget, Patience},
    settle::InHand,
    shares::{Bytes, Charge, Holder, Quotas},
};

/// What every request shares.
struct App {
    config: GatewayConfig,
    publisher: Arc<dyn Publisher>,
    admission: Arc<Admission>,
    budget: Budget,
    /// Bodies of webhooks for known tenants whose signature is not checked yet.
    unproven: Budget,
    /// Bodies of webhooks for tenants that nobody knows.
    strangers: Budget,
    quotas: Quotas,
    in_hand: Mutex<InHand>,
    decisions: policy::Decisions,
    stopping: AtomicBool,
}

impl App {
    fn new(config: GatewayConfig, publisher: Arc<dyn Publisher>, keys: KeyRingWatch) -> Self {
        let admission = Admission::new(keys, &config.rates, config.trusted_proxies.clone())
            .with_identities(Arc::clone(&config.identities));
        let tenants = config.tenants.clone();
        let budget = |bytes| Budget::new(Bytes::new(bytes, tenants.clone()));
        Self {
            admission: Arc::new(admission),
            budget: budget(config.limits.in_hand_bytes),
            unproven: budget(config.limits.unproven_bytes),
            strangers: budget(config.limits.stranger_bytes),
            quotas: Quotas::new(&config.quotas, tenants.clone()),
            in_hand: Mutex::default(),
            decisions: policy::Decisions::default(),
            stopping: AtomicBool::new(false),
            config,
            publisher,
        }
    }

    /// What a tenant's request holds while it is in hand.
    fn charge(&self, tenant: &TenantId) -> Charge {
        self.budget.charge(vec![Holder::Tenant(tenant.clone())])
    }

    /// How much of a body is read, and how slowly it may come.
    fn patience(&self, bytes: usize) -> Patience {
        Patience { bytes, span: self.config.timeouts.body, rate: self.config.limits.body_bytes_per_second }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }
}

/// A gateway that has its address and serves nobody yet.
#[derive(Debug)]
pub struct Gateway {
    config: GatewayConfig,
    listener: Listener,
    admin: Option<Listener>,
}

/// Why the gateway could not be started, or stopped with events unsettled.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// An address cannot be listened on, or the certificate cannot be used.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Kafka did not acknowledge everything before the time to stop was over. Nobody was told that they are
    /// stored; whoever published them got no answer or 503, and sends them again.
    #[error("stopped with {0} events not acknowledged by Kafka; their ids are in the log")]
    Unflushed(usize),
}

impl Gateway {
    /// Takes the addresses of the configuration; port 0 takes a free one.
    pub async fn bind(config: GatewayConfig) -> Result<Self, GatewayError> {
        let listener = Listener::bind(config.listener()).await?;
        let admin = match &config.admin {
            Some(admin) => Some(Listener::bind(Listen::admin("gateway admin", admin.listen)).await?),
            None => None,
        };
        Ok(Self { config, listener, admin })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Where its admin listener is, if it has one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Listener::address)
    }

    /// Serves until `shutdown`, then stops as promised: not ready, no new connections, time for the requests
    /// in hand, and for Kafka to acknowledge what was sent.
    pub async fn serve(
        self,
        publisher: Arc<dyn Publisher>,
        keys: KeyRingWatch,
        shutdown: CancellationToken,
    ) -> Result<(), GatewayError> {
        sources::announce();
        let Self { config, listener, admin } = self;
        let app = Arc::new(App::new(config, publisher, keys));
        // Who asks how the stop goes on is answered until it is over.
        let over = CancellationToken::new();
        let _over = over.clone().drop_guard();
        if let (Some(listener), Some(admin)) = (admin, &app.config.admin) {
            tokio::spawn(listener.serve(router::admin(&app, admin), over));
        }
        let open = listener.accept_until(router::router(&app), shutdown).await;
        stop(&app, open).await
    }
}

/// Not ready, time for the requests in hand, then for Kafka.
async fn stop(app: &App, open: Open) -> Result<(), GatewayError> {
    app.stopping.store(true, Relaxed);
    info!("the gateway stops");
    let drained = open.drain().await;
    // Before the requests are cut off: they take their events out of the list.
    let left: Vec<String> = settle::lock(&app.in_hand).ids().map(ToString::to_string).collect();
    if !drained {
        open.cut().await;
    }
    let unflushed = app.publisher.flush(app.config.timeouts.flush).await;
    if unflushed == 0 {
        return Ok(());
    }
    for id in &left {
        error!(event_id = id, "published without an acknowledgement; it may or may not be stored");
    }
    Err(GatewayError::Unflushed(unflushed))
}

/// Binds and serves in one step.
pub async fn serve(
    config: GatewayConfig,
    publisher: Arc<dyn Publisher>,
    keys: KeyRingWatch,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    Gateway::bind(config).await?.serve(publisher, keys, shutdown).await
}
