//! The accept loop: how many connections, how long each may dawdle, and how all of it stops.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, error, info, warn};

use super::{
    App, GatewayError,
    admit::{Peer, is_proxy},
    router::router,
    settle,
    stalled::WriteDeadline,
};

/// How often callers are forgotten whose allowance is full again.
const PRUNE_EVERY: Duration = Duration::from_mins(1);
/// After a failed accept (no descriptors left): long enough for others to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A connection's read buffer. Holds a head of the longest accepted kind and one that is told to be too long.
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    let connections = Connections::new(&app);
    let mut prune = interval(PRUNE_EVERY);
    prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Ok(address) = listener.local_addr() {
        info!(%address, "the gateway takes events");
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = prune.tick() => app.limiters.prune(),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => connections.take(stream, peer.ip()),
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop(&app, connections).await
}

/// Not ready, time for the requests in hand, then for Kafka.
async fn stop(app: &App, connections: Connections) -> Result<(), GatewayError> {
    app.stopping.store(true, Relaxed);
    let timeouts = &app.config.timeouts;
    info!(connections = connections.tasks.len(), "the gateway stops");
    connections.finish.cancel();
    connections.tasks.close();
    let drained = timeout(timeouts.drain, connections.tasks.wait()).await.is_ok();
    // Before the requests are cut off: they take their events out of the list.
    let left: Vec<String> = settle::lock(&app.in_hand).ids().map(ToString::to_string).collect();
    if !drained {
        warn!(connections = connections.tasks.len(), "requests did not end in time and are cut off");
        connections.cut.cancel();
        connections.tasks.wait().await;
    }
    let unflushed = app.publisher.flush(timeouts.flush).await;
    if unflushed == 0 {
        return Ok(());
    }
    for id in &left {
        error!(event_id = id, "published without an acknowledgement; it may or may not be stored");
    }
    Err(GatewayError::Unflushed(unflushed))
}

/// Open connections of each address that has any.
type ByAddress = Arc<Mutex<HashMap<IpAddr, usize>>>;

struct Connections {
    app: Arc<App>,
    router: Router,
    http: http1::Builder,
    slots: Arc<Semaphore>,
    by_address: ByAddress,
    tasks: TaskTracker,
    /// No further requests on any connection.
    finish: CancellationToken,
    /// Not even the rest of this one.
    cut: CancellationToken,
}

impl Connections {
    fn new(app: &Arc<App>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(app.config.timeouts.head)
            .max_buf_size(BUFFER_BYTES);
        Self {
            router: router(app),
            http,
            slots: Arc::new(Semaphore::new(app.config.limits.connections)),
            by_address: Arc::default(),
            tasks: TaskTracker::new(),
            finish: CancellationToken::new(),
            cut: CancellationToken::new(),
            app: Arc::clone(app),
        }
    }

    /// Serves the connection, or closes it if there are too many.
    fn take(&self, stream: TcpStream, peer: IpAddr) {
        let Some(slot) = self.slot(peer) else {
            metrics::counter!("weir_gateway_connections_refused_total").increment(1);
            debug!("a connection is closed: there are too many");
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "the connection is gone already");
            return;
        }
        let router = self.router.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request)
        });
        let stream = WriteDeadline::new(stream, self.app.config.timeouts.write);
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let (finish, cut) = (self.finish.clone(), self.cut.clone());
        self.tasks.spawn(async move {
            let _slot = slot;
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = finish.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = connection.as_mut() => ended,
                        () = cut.cancelled() => Ok(()),
                    }
                }
            };
            if let Err(error) = ended {
                debug!(%error, "a connection ended early");
            }
        });
    }

    fn slot(&self, peer: IpAddr) -> Option<Slot> {
        let one = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        if is_proxy(peer, &self.app.config.trusted_proxies) {
            return Some(Slot { _one: one, of: None });
        }
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let open = by_address.entry(peer).or_default();
        if *open >= self.app.config.limits.connections_per_address {
            return None;
        }
        *open += 1;
        Some(Slot { _one: one, of: Some((peer, Arc::clone(&self.by_address))) })
    }
}

/// A connection's place; free again when dropped.
struct Slot {
    _one: OwnedSemaphorePermit,
    of: Option<(IpAddr, ByAddress)>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some((peer, by_address)) = &self.of else { return };
        let mut by_address = by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = by_address.get_mut(peer) {
            *open -= 1;
            if *open == 0 {
                by_address.remove(peer);
            }
        }
    }
}
