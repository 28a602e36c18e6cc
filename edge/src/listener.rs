//! The accept loop: how many connections, and how all of them stop.

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
    serving::Serving,
    slots::Slots,
    tls::{Tls, TlsConfig, TlsError},
};

/// After a failed accept (no descriptors left): long enough for others to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener is told.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Its name in the log and in metrics.
    pub name: &'static str,
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// What clients may take up.
    pub limits: ConnectionLimits,
    /// Connections from these are not counted per address.
    pub trusted_proxies: Vec<IpNet>,
    /// Without it the listener speaks clear text, HTTP/1.1 only.
    pub tls: Option<TlsConfig>,
}

impl Listen {
    /// Clear text with the usual limits.
    pub fn at(name: &'static str, address: SocketAddr) -> Self {
        Self { name, address, limits: ConnectionLimits::default(), trusted_proxies: Vec::new(), tls: None }
    }

    /// Clear text for probes and scrapers: few of them, and nothing that a stop must wait for.
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

/// What connections may take up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once; what is beyond is closed.
    pub connections: usize,
    /// Connections at once from one address.
    pub per_address: usize,
    /// Requests at once on one connection (HTTP/2).
    pub streams: u32,
    /// From the connection to the end of its TLS handshake; then it is closed.
    pub handshake: Duration,
    /// From the connection, or the last answer, to the end of a request's head; then the connection is closed.
    pub head: Duration,
    /// A client that takes not one byte of its answer for this long is cut off.
    pub write: Duration,
    /// When stopping: for the requests in hand.
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

/// Why nothing can be listened for.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address is another's, or none of this machine's.
    #[error("cannot listen on {address}; is another process using the port?")]
    Address {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The certificate cannot be used.
    #[error("TLS of the {name} cannot be set up")]
    Tls {
        /// Whose.
        name: &'static str,
        /// What is wrong.
        #[source]
        source: TlsError,
    },
}

/// A listener that has its address and serves nobody yet.
#[derive(Debug)]
pub struct Listener {
    config: Listen,
    socket: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Reads the certificate, if there is to be one, and takes the address.
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or(self.config.address)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Serves until told to stop, gives the requests in hand their time, and cuts the rest off.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        self.accept_until(router, stop).await.finish().await;
    }

    /// Serves until told to stop; then nobody is let in any more, and open connections take no further requests.
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
                        warn!(listener = name, %error, "a connection could not be accepted");
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
        metrics::counter!("weir_connections_refused_total", "listener" => serving.name).increment(1);
        debug!(listener = serving.name, "a connection is closed: there are too many");
        return;
    };
    let talk = Arc::clone(serving).converse(stream, peer);
    serving.open.tasks.spawn(async move {
        let _slot = slot;
        talk.await;
    });
}

/// The connections of a listener.
#[derive(Debug, Clone)]
pub struct Open {
    name: &'static str,
    drain: Duration,
    pub(crate) tasks: TaskTracker,
    /// No further requests on any connection.
    pub(crate) finishing: CancellationToken,
    /// Not even the rest of this one.
    pub(crate) cut: CancellationToken,
}

impl Open {
    /// Gives the requests in hand their time, and cuts the rest off.
    pub async fn finish(&self) {
        if !self.drain().await {
            self.cut().await;
        }
    }

    /// Waits for the requests in hand, as long as the limits say; whether all of them were answered.
    pub async fn drain(&self) -> bool {
        let drained = timeout(self.drain, self.tasks.wait()).await.is_ok();
        if !drained {
            warn!(listener = self.name, "requests did not end in time and are cut off");
        }
        drained
    }

    /// Ends what is left.
    pub async fn cut(&self) {
        self.cut.cancel();
        self.tasks.wait().await;
    }
}
