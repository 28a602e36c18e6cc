//! The HTTP gateway: it accepts CloudEvents, records of other systems ([`sources`], [`webhook`]) and commands
//! ([`commands`]), and answers 202 only once Kafka has acknowledged them. It also evaluates compliance
//! policies ([`policy`]).
//!
//! Steps of a request, in order: check the head ([`edge::service`]); authenticate the caller and check scope
//! and rate ([`edge::access`]); read the body within its budget ([`body`]); decode it ([`encoding`]); parse
//! it with the schemas' codec; authorise each event ([`authority`]); hand the events to the [`Publisher`];
//! answer when every event is acknowledged or failed ([`events`]).
//!
//! No state is kept between requests except rates, and every wait has a limit: a full queue, a missing broker
//! and too many requests in flight are answered at once with 503 and `Retry-After`.

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
mod send_queue;
mod settle;
mod shares;
mod signature;
mod sources;
#[cfg(test)]
mod tests;
mod turns;
mod webhook;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

pub use config::{Admin, GatewayConfig, Limits, Timeouts, WaiversWatch};
pub use edge::key_ring::KeyRingWatch;
pub use edge::rates::Rates;
use edge::{Listen, ListenError, Listener, Open, admission::Admission, trail::Reason};
pub use policy::{Budgets, PlanAsked};
pub use publisher::{Delivery, KafkaPublisher, Publisher};
pub use router::openapi;
use schemas::{Envelope, TenantId, access::Principal};
pub use shares::TenantQuotas;
pub use signature::{InvalidSecrets, WebhookSecrets};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::{
    body::{Budget, Patience},
    send_queue::SendQueue,
    settle::{InHand, Rejected},
    shares::{Bytes, Charge, Holder, Quotas},
};

/// State that all requests share.
struct App {
    config: GatewayConfig,
    publisher: Arc<dyn Publisher>,
    admission: Arc<Admission>,
    budget: Budget,
    /// Budget for webhook bodies of known tenants before their signature is checked.
    unproven: Budget,
    /// Budget for webhook bodies of unknown tenants.
    strangers: Budget,
    quotas: Quotas,
    send_queue: SendQueue,
    in_hand: Mutex<InHand>,
    decisions: policy::Decisions,
    stopping: AtomicBool,
}

impl App {
    fn new(config: GatewayConfig, publisher: Arc<dyn Publisher>, keys: KeyRingWatch) -> Self {
        let admission = Admission::new(keys, &config.rates, config.trusted_proxies.clone())
            .with_identities(Arc::clone(&config.identities))
            .with_trail(Arc::clone(&config.tenants.trail))
            .with_replicas(config.tenants.replicas.clone());
        let tenants = config.tenants.clone();
        let budget = |bytes| Budget::new(Bytes::new(bytes, tenants.clone()));
        Self {
            admission: Arc::new(admission),
            budget: budget(config.limits.in_hand_bytes),
            unproven: budget(config.limits.unproven_bytes),
            strangers: budget(config.limits.stranger_bytes),
            quotas: Quotas::new(&config.quotas, tenants.clone()),
            send_queue: SendQueue::new(
                config.limits.queue_records,
                config.limits.queue_bytes,
                tenants.clone(),
            ),
            in_hand: Mutex::default(),
            decisions: policy::Decisions::default(),
            stopping: AtomicBool::new(false),
            config,
            publisher,
        }
    }

    /// An empty charge on the tenant for a request in flight.
    fn charge(&self, tenant: &TenantId) -> Charge {
        self.budget.charge(vec![Holder::Tenant(tenant.clone())])
    }

    /// Limits on reading a body: size and minimum rate.
    fn patience(&self, bytes: usize) -> Patience {
        Patience { bytes, span: self.config.timeouts.body, rate: self.config.limits.body_bytes_per_second }
    }

    /// Notes for the audit log that events of a request are forbidden, once a request. Where the whole request
    /// is, the guard of its route notes it.
    fn note_forbidden(&self, principal: &Principal, address: IpAddr, events: &[Result<Envelope, Rejected>]) {
        if settle::hides_forbidden(events) {
            self.admission.note(principal, Reason::Forbidden, router::PUBLISH, address);
        }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }
}

/// A bound gateway that does not serve yet.
#[derive(Debug)]
pub struct Gateway {
    config: GatewayConfig,
    listener: Listener,
    admin: Option<Listener>,
}

/// Error of starting the gateway, or of stopping it with events unacknowledged.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// An address cannot be bound, or the certificate cannot be used.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Kafka did not acknowledge every event within the time limit of shutdown. Their publishers got no
    /// response or 503, and will send them again.
    #[error("stopped with {0} events not acknowledged by Kafka; their ids are in the log")]
    Unflushed(usize),
}

impl Gateway {
    /// Binds the addresses of the configuration; port 0 takes a free port.
    pub async fn bind(config: GatewayConfig) -> Result<Self, GatewayError> {
        let listener = Listener::bind(config.listener()).await?;
        let admin = match &config.admin {
            Some(admin) => Some(Listener::bind(Listen::admin("gateway admin", admin.listen)).await?),
            None => None,
        };
        Ok(Self { config, listener, admin })
    }

    /// Bound address.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Bound address of the admin listener, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Listener::address)
    }

    /// Serves until `shutdown`, then stops gracefully: not ready, no new connections, time for requests in
    /// flight and for Kafka's acknowledgements.
    pub async fn serve(
        self,
        publisher: Arc<dyn Publisher>,
        keys: impl Into<KeyRingWatch>,
        shutdown: CancellationToken,
    ) -> Result<(), GatewayError> {
        sources::announce();
        let Self { config, listener, admin } = self;
        let app = Arc::new(App::new(config, publisher, keys.into()));
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

/// Graceful stop: not ready, time for requests in flight, then for Kafka's acknowledgements.
async fn stop(app: &App, open: Open) -> Result<(), GatewayError> {
    app.stopping.store(true, Relaxed);
    info!("stopping the gateway");
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
    keys: impl Into<KeyRingWatch>,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    Gateway::bind(config).await?.serve(publisher, keys, shutdown).await
}
