//! Serves one connection.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::Response};
use http::{HeaderValue, Request, header};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::debug;

use crate::{
    ConnectionLimits, Open,
    in_hand::{InHand, Overdue},
    peer::Peer,
    stalled::WriteDeadline,
    tls::{H2, Tls},
};

/// Size of a connection's read buffer (HTTP/1.1) or longest head (HTTP/2). Large enough for the longest
/// accepted head, and for one that is answered as too long.
const HEAD_BYTES: u32 = 64 * 1024;
/// Flow control windows of a stream and a connection: what a client may send before it is read (HTTP/2).
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Send buffer of a stream (HTTP/2).
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Grace period after GOAWAY (HTTP/2).
const LEAVE: Duration = Duration::from_secs(2);
/// `Strict-Transport-Security` of responses over TLS: one year (RFC 6797).
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Reasons of failed handshakes.
const REFUSED: &str = "refused";
const TIMEOUT: &str = "timeout";

/// Connections that were closed because there were too many.
pub(crate) fn refused(listener: &'static str) -> metrics::Counter {
    metrics::counter!("weir_connections_refused_total", "listener" => listener)
}

fn failed_handshakes(listener: &'static str, reason: &'static str) -> metrics::Counter {
    metrics::counter!("weir_tls_handshakes_failed_total", "listener" => listener, "reason" => reason)
}

/// State that a listener's connections share.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) name: &'static str,
    limits: ConnectionLimits,
    router: Router,
    tls: Option<Arc<Tls>>,
    pub(crate) open: Open,
}

/// Peer of a connection, and whether it is encrypted.
#[derive(Debug, Clone, Copy)]
struct Line {
    peer: Peer,
    encrypted: bool,
}

impl Serving {
    pub(crate) fn new(
        name: &'static str,
        limits: ConnectionLimits,
        router: Router,
        tls: Option<Arc<Tls>>,
        open: Open,
    ) -> Self {
        // With 0, so that a rate sees the first one.
        refused(name).increment(0);
        if tls.is_some() {
            for reason in [REFUSED, TIMEOUT] {
                failed_handshakes(name, reason).increment(0);
            }
        }
        Self { name, limits, router, tls, open }
    }

    pub(crate) async fn converse(self: Arc<Self>, stream: TcpStream, peer: Peer) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "the connection closed before it was served");
            return;
        }
        let stream = WriteDeadline::new(stream, self.limits.write);
        // Boxed: a connection holds what its protocol needs, not room for each of them.
        let ended = match &self.tls {
            None => Box::pin(self.http1(stream, Line { peer, encrypted: false })).await,
            Some(tls) => {
                let Some(stream) = Box::pin(self.handshake(tls, stream)).await else { return };
                let line = Line { peer, encrypted: true };
                if stream.get_ref().1.alpn_protocol() == Some(H2) {
                    Box::pin(self.http2(stream, line)).await
                } else {
                    Box::pin(self.http1(stream, line)).await
                }
            }
        };
        if let Err(error) = ended {
            // A client that goes away or talks nonsense is its own affair.
            debug!(listener = self.name, %error, "a connection ended early");
        }
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        tls: &Tls,
        stream: S,
    ) -> Option<TlsStream<S>> {
        let accepting = timeout(self.limits.handshake, tls.acceptor().accept(stream));
        let reason = tokio::select! {
            () = self.open.finishing.cancelled() => return None,
            accepted = accepting => match accepted {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(error)) => {
                    debug!(listener = self.name, %error, "a TLS handshake failed");
                    REFUSED
                }
                Err(_) => {
                    debug!(listener = self.name, "a TLS handshake took too long");
                    TIMEOUT
                }
            },
        };
        failed_handshakes(self.name, reason).increment(1);
        None
    }

    async fn http1<S>(&self, stream: S, line: Line) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let service = service_fn(|request| answer(self.router.clone(), line, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(HEAD_BYTES as usize)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = self.open.finishing.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            ended = connection => ended,
            () = self.open.cut.cancelled() => Ok(()),
        }
    }

    async fn http2<S>(&self, stream: S, line: Line) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let in_hand = InHand::new();
        let (router, counting) = (self.router.clone(), in_hand.clone());
        let service = service_fn(move |request| {
            let (one, answering) = (counting.begin(), answer(router.clone(), line, request));
            async move { Ok::<_, Infallible>(answering.await?.map(|body| one.answer(body))) }
        });
        let gone = CancellationToken::new();
        let _gone = gone.clone().drop_guard();
        let mut connection = std::pin::pin!(
            http2::Builder::new(Streams { tasks: self.open.tasks.clone(), gone })
                .timer(TokioTimer::new())
                .max_concurrent_streams(self.limits.streams)
                .max_header_list_size(HEAD_BYTES)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_send_buf_size(SEND_BUFFER_BYTES)
                .serve_connection(TokioIo::new(stream), service)
        );
        let mut looks = interval((self.limits.head.min(self.limits.write) / 10).min(Duration::from_secs(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaving: Option<Instant> = None;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = self.open.cut.cancelled() => return Ok(()),
                () = self.open.finishing.cancelled(), if leaving.is_none() => {
                    connection.as_mut().graceful_shutdown();
                    leaving = Some(Instant::now());
                }
                _ = looks.tick() => match (in_hand.overdue(Instant::now(), self.limits.head, self.limits.write), leaving) {
                    (None, _) => {}
                    (Some(Overdue::Idle), None) => {
                        connection.as_mut().graceful_shutdown();
                        leaving = Some(Instant::now());
                    }
                    (Some(Overdue::Idle), Some(since)) if since.elapsed() < LEAVE => {}
                    (Some(_), _) => {
                        debug!(listener = self.name, "closing an idle or stalled connection");
                        return Ok(());
                    }
                },
            }
        }
    }
}

/// Passes a request to the router.
async fn answer(router: Router, line: Line, request: Request<Incoming>) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(line.peer);
    let mut response = router.oneshot(request).await?;
    if line.encrypted {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
    }
    Ok(response)
}

/// Executor for the requests of an HTTP/2 connection, each a task that ends with the connection.
#[derive(Debug, Clone)]
struct Streams {
    tasks: TaskTracker,
    gone: CancellationToken,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let gone = self.gone.clone();
        let stream: Pin<Box<F>> = Box::pin(stream);
        self.tasks.spawn(async move { gone.run_until_cancelled(stream).await.map(drop) });
    }
}
