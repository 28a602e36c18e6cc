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

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Arc};

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::{Notify, oneshot},
        task::JoinHandle,
    };

    use super::*;

    struct Server {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        running: JoinHandle<io::Result<()>>,
        /// `/slow` answers once this is notified, and notifies the other when it was entered.
        finish: Arc<Notify>,
        entered: Arc<Notify>,
    }

    async fn start(limits: ServeLimits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (finish, entered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (finish, entered) = (finish.clone(), entered.clone());
            move || async move {
                entered.notify_one();
                finish.notified().await;
                "slow"
            }
        };
        let router = Router::new().route("/", get(|| async { "ok" })).route("/slow", get(slow));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(serve(listener, router, limits, async { drop(stopped.await) }));
        Server { address, stop, running, finish, entered }
    }

    /// Sends the bytes and reads until the server closes.
    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // A reset after the answer is as good as an end.
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8(answer).expect("UTF-8")
    }

    const CLOSING: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn heads_that_are_slow_long_or_crowded_are_not_waited_for() {
        let server =
            start(ServeLimits { head_time: Duration::from_millis(100), ..ServeLimits::default() }).await;
        assert!(exchange(server.address, CLOSING).await.starts_with("HTTP/1.1 200"));
        // These end because the server closes, not the client.
        assert!(!exchange(server.address, "GET / HTTP/1.1\r\nHost:").await.contains("200"));
        assert!(!exchange(server.address, "").await.contains("200"));
        let crowded = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(64));
        assert!(exchange(server.address, &crowded).await.starts_with("HTTP/1.1 431"));
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\na: {}\r\n\r\n", "b".repeat(20 * 1024));
        assert!(exchange(server.address, &long).await.starts_with("HTTP/1.1 431"));
    }

    #[tokio::test]
    async fn one_address_cannot_take_every_connection() {
        let server = start(ServeLimits { connections_per_address: 1, ..ServeLimits::default() }).await;
        let mut first = TcpStream::connect(server.address).await.expect("connects");
        first.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        let mut answer = [0; 12];
        first.read_exact(&mut answer).await.expect("answered");
        assert_eq!(&answer, b"HTTP/1.1 200");
        assert_eq!(exchange(server.address, CLOSING).await, "", "closed without an answer");
        drop(first);
        // Room again as soon as the server has seen the first one go.
        while !exchange(server.address, CLOSING).await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn stopping_finishes_what_is_in_hand_and_closes_what_is_idle() {
        let server = start(ServeLimits::default()).await;
        let slow = tokio::spawn(exchange(server.address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
        let idle = tokio::spawn(exchange(server.address, ""));
        server.entered.notified().await;
        server.stop.send(()).expect("it runs");
        idle.await.expect("closed");
        // Nobody is let in any more.
        TcpStream::connect(server.address).await.expect_err("the listener is gone");
        server.finish.notify_one();
        assert!(slow.await.expect("answered").ends_with("slow"));
        server.running.await.expect("ended").expect("without error");
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_does_not_keep_the_server() {
        let server =
            start(ServeLimits { drain_time: Duration::from_millis(50), ..ServeLimits::default() }).await;
        let slow = tokio::spawn(exchange(server.address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
        server.entered.notified().await;
        server.stop.send(()).expect("it runs");
        server.running.await.expect("ended").expect("without error");
        assert_eq!(slow.await.expect("cut off"), "");
    }
}
