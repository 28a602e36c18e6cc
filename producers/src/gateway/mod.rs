//! The HTTP gateway: events come in as CloudEvents, as other systems' records ([`sources`], [`webhook`]) and as
//! commands ([`commands`]), and are answered with 202 only once Kafka has them.
//!
//! One request, in order: the head is checked ([`observe`]), the caller is known and within its rate
//! ([`admit`]), the body is counted in as it arrives ([`body`]), decoded once ([`encoding`]), parsed by the
//! schemas' codec, handed to the [`Publisher`] and answered when every event is settled ([`events`]).
//!
//! Nothing here keeps state between requests but rates and, for a while, when a command's key was first seen; nothing waits without an end: a full queue, a
//! missing broker and too much in hand are answered with 503 and `Retry-After` at once.

mod admit;
mod body;
mod commands;
mod config;
mod encoding;
mod events;
mod health;
mod listen;
mod media;
mod observe;
mod publisher;
mod rates;
mod reading;
mod refusal;
mod router;
mod settle;
mod signature;
mod sources;
mod stalled;
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

pub use config::{GatewayConfig, Limits, Rates, RenderMetrics, Timeouts};
pub use publisher::{Delivery, KafkaPublisher, Publisher};
pub use router::openapi;
use schemas::access::KeyRing;
pub use signature::{InvalidSecrets, WebhookSecrets};
use thiserror::Error;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use self::{body::Budget, commands::FirstSeen, rates::Limiters, settle::InHand};

/// The API keys as they are now; `None` until they were loaded for the first time.
pub type KeyRingWatch = watch::Receiver<Option<Arc<KeyRing>>>;

/// What every request shares.
struct App {
    config: GatewayConfig,
    publisher: Arc<dyn Publisher>,
    keys: KeyRingWatch,
    limiters: Limiters,
    budget: Budget,
    /// What requests hold whose sender is not known before their body is read.
    unproven: Budget,
    in_hand: Mutex<InHand>,
    first_seen: FirstSeen,
    stopping: AtomicBool,
}

impl App {
    fn new(config: GatewayConfig, publisher: Arc<dyn Publisher>, keys: KeyRingWatch) -> Self {
        Self {
            limiters: Limiters::new(&config.rates),
            budget: Budget::new(config.limits.in_hand_bytes),
            unproven: Budget::new(config.limits.unproven_bytes),
            in_hand: Mutex::default(),
            first_seen: FirstSeen::default(),
            stopping: AtomicBool::new(false),
            config,
            publisher,
            keys,
        }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }
}

/// A gateway that has its address and serves nobody yet.
#[derive(Debug)]
pub struct Gateway {
    config: GatewayConfig,
    listener: TcpListener,
}

/// Why the gateway could not be started, or stopped with events unsettled.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; is another process using the port?")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Kafka did not acknowledge everything before the time to stop was over. Nobody was told that they are
    /// stored; whoever published them got no answer or 503, and sends them again.
    #[error("stopped with {0} events not acknowledged by Kafka; their ids are in the log")]
    Unflushed(usize),
}

impl Gateway {
    /// Takes the address of the configuration; port 0 takes a free one.
    pub async fn bind(config: GatewayConfig) -> Result<Self, GatewayError> {
        let address = config.listen;
        let listener =
            TcpListener::bind(address).await.map_err(|source| GatewayError::Listen { address, source })?;
        Ok(Self { config, listener })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
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
        let app = Arc::new(App::new(self.config, publisher, keys));
        listen::serve(self.listener, app, shutdown).await
    }
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
