//! The accept loop: connection limits and shutdown.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use ipnet::IpNet;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{debug, info, warn};

use crate::{
    peer::Peer,
    serving::{Serving, refused},
    slots::Slots,
    tls::{Tls, TlsConfig, TlsError},
};

/// Pause after a failed accept (no file descriptors left), so that other connections can end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Configuration of a listener.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Name of the listener in logs and metrics.
    pub name: &'static str,
    /// Address to listen on; port 0 takes a free port.
    pub address: SocketAddr,
    /// Limits on clients' connections.
    pub limits: ConnectionLimits,
    /// Proxies whose connections are not counted per address.
    pub trusted_proxies: Vec<IpNet>,
    /// TLS; without it the listener speaks clear text, HTTP/1.1 only.
    pub tls: Option<TlsConfig>,
}

impl Listen {
    /// A clear-text listener with default limits.
    pub fn at(name: &'static str, address: SocketAddr) -> Self {
        Self { name, address, limits: ConnectionLimits::default(), trusted_proxies: Vec::new(), tls: None }
    }

    /// A clear-text listener for probes and scrapers, with few connections and a short drain.
    pub fn admin(name: &'static str, address: SocketAddr) -> Self {
        let few = ConnectionLimits {
            connections: 64,
            per_address: 64,
            drain: Duration::from_secs(1),
            ..ConnectionLimits::default()
        };
        Self { limits: few, ..Self::at(name, address) }
    }
}

/// Limits on connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Maximum number of connections; further ones are closed.
    pub connections: usize,
    /// Maximum number of connections from one address.
    pub per_address: usize,
    /// Maximum number of concurrent requests on one connection (HTTP/2).
    pub streams: u32,
    /// Time limit from accepting a connection to the end of its TLS handshake; then it is closed.
    pub handshake: Duration,
    /// Time limit from accepting a connection, or the last response, to the end of a request's head; then it
    /// is closed.
    pub head: Duration,
    /// Time after which a client that reads nothing of its response is disconnected.
    pub write: Duration,
    /// Time limit on shutdown for requests in flight.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            per_address: 128,
            streams: 100,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(13),
        }
    }
}

/// Error of starting a listener.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address is in use, or does not belong to this machine.
    #[error("cannot listen on {address}; is another process using the port?")]
    Address {
        /// Configured address.
        address: SocketAddr,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The certificate cannot be used.
    #[error("TLS of the {name} cannot be set up")]
    Tls {
        /// Name of the listener.
        name: &'static str,
        /// The cause.
        #[source]
        source: TlsError,
    },
}

/// A bound listener that does not serve yet.
#[derive(Debug)]
pub struct Listener {
    config: Listen,
    socket: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Reads the certificate, if TLS is configured, and binds the address.
    pub async fn bind(config: Listen) -> Result<Self, ListenError> {
        let name = config.name;
        let load = |tls: &TlsConfig| Tls::load(tls.clone(), name).map(Arc::new);
        let tls =
            config.tls.as_ref().map(load).transpose().map_err(|source| ListenError::Tls { name, source })?;
        let address = config.address;
        let socket =
            TcpListener::bind(address).await.map_err(|source| ListenError::Address { address, source })?;
        Ok(Self { config, socket, tls })
    }

    /// Bound address.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or(self.config.address)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Serves until `stop`, then waits for requests in flight until the time limit and closes the rest.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        self.accept_until(router, stop).await.finish().await;
    }

    /// Serves until `stop`; then accepts no connections, and no further requests on open ones.
    pub async fn accept_until(self, router: Router, stop: CancellationToken) -> Open {
        let Self { config, socket, tls } = self;
        let name = config.name;
        if let Ok(address) = socket.local_addr() {
            info!(listener = name, %address, tls = tls.is_some(), "listening");
        }
        let _following = tls.clone().map(|tls| AbortOnDropHandle::new(tokio::spawn(tls.follow())));
        let limits = &config.limits;
        let slots = Slots::new(limits.connections, limits.per_address, config.trusted_proxies);
        let open = Open {
            name,
            drain: limits.drain,
            tasks: TaskTracker::new(),
            finishing: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        let serving = Arc::new(Serving::new(name, config.limits, router, tls, open.clone()));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => take(&slots, &serving, stream, Peer(peer.ip())),
                    Err(error) => {
                        warn!(listener = name, %error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(socket);
        open.finishing.cancel();
        open.tasks.close();
        open
    }
}

/// Serves the connection, or closes it if there are too many.
fn take(slots: &Slots, serving: &Arc<Serving>, stream: TcpStream, peer: Peer) {
    let Some(slot) = slots.take(peer.0) else {
        refused(serving.name).increment(1);
        debug!(listener = serving.name, "too many connections; closing a new one");
        return;
    };
    let talk = Arc::clone(serving).converse(stream, peer);
    serving.open.tasks.spawn(async move {
        let _slot = slot;
        talk.await;
    });
}

/// The open connections of a listener.
#[derive(Debug, Clone)]
pub struct Open {
    name: &'static str,
    drain: Duration,
    pub(crate) tasks: TaskTracker,
    /// Stops accepting requests on all connections.
    pub(crate) finishing: CancellationToken,
    /// Aborts requests in flight, too.
    pub(crate) cut: CancellationToken,
}

impl Open {
    /// Waits for requests in flight until the time limit, then closes the rest.
    pub async fn finish(&self) {
        if !self.drain().await {
            self.cut().await;
        }
    }

    /// Waits for requests in flight until the time limit; whether all of them were answered.
    pub async fn drain(&self) -> bool {
        let drained = timeout(self.drain, self.tasks.wait()).await.is_ok();
        if !drained {
            warn!(
                listener = self.name,
                "requests in flight exceeded the time limit of shutdown; closing their connections"
            );
        }
        drained
    }

    /// Closes the remaining connections.
    pub async fn cut(&self) {
        self.cut.cancel();
        self.tasks.wait().await;
    }
}
