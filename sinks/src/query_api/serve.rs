//! The server: accepts connections within limits, and stops without cutting an answer off.

use std::{collections::HashMap, io, net::IpAddr, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// What a client may take up. The defaults are those of the gateway.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// Connections at the same time; what is beyond is closed.
    pub connections: usize,
    /// Connections at the same time from one address.
    pub connections_per_address: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// How long a head may take to arrive, also the first byte of the next one on a kept connection.
    pub head_time: Duration,
    /// How long answers in hand may take once the server stops.
    pub drain_time: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 128,
            headers: 64,
            head_bytes: 16 * 1024,
            head_time: Duration::from_secs(10),
            drain_time: Duration::from_secs(13),
        }
    }
}

/// Answers requests until `shutdown` resolves; then takes no more, finishes those in hand, and returns.
///
/// Fails only if the listener does. HTTP/1.1 only: behind TLS the terminating proxy speaks the rest.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut open = Connections { tasks: JoinSet::new(), per_address: HashMap::new() };
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(Ok(address)) = open.tasks.join_next() => open.ended(address),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if open.room_for(peer.ip(), &limits) => {
                    open.start(peer.ip(), converse(stream, router.clone(), limits.clone(), stopped.clone()));
                }
                Ok((refused, _)) => drop(refused),
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error),
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while open.tasks.join_next().await.is_some() {} };
    if timeout(limits.drain_time, drained).await.is_err() {
        tracing::warn!("answers in hand took too long and were cut off");
    }
    Ok(())
}

/// The open connections, counted by address.
struct Connections {
    tasks: JoinSet<IpAddr>,
    per_address: HashMap<IpAddr, usize>,
}

impl Connections {
    fn room_for(&self, address: IpAddr, limits: &ServeLimits) -> bool {
        self.tasks.len() < limits.connections
            && self.per_address.get(&address).is_none_or(|open| *open < limits.connections_per_address)
    }

    fn start(&mut self, address: IpAddr, conversation: impl Future<Output = ()> + Send + 'static) {
        *self.per_address.entry(address).or_default() += 1;
        let guarded = std::panic::AssertUnwindSafe(conversation);
        self.tasks.spawn(async move {
            if futures_util::FutureExt::catch_unwind(guarded).await.is_err() {
                tracing::error!("a connection's task panicked");
            }
            address
        });
    }

    fn ended(&mut self, address: IpAddr) {
        if let Some(open) = self.per_address.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                self.per_address.remove(&address);
            }
        }
    }
}

/// One connection, from its first request to its last.
async fn converse(
    stream: TcpStream,
    router: Router,
    limits: ServeLimits,
    mut stopped: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be delayed");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that goes away or talks nonsense is its own affair.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Whether accepting may succeed again: the peer hung up, or descriptors are used up for now.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
        || matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}
