//! Over TLS and HTTP/2: the same answers, the same limits.

use edge::tls::TlsConfig;
use h2::{SendStream, client, client::SendRequest};
use http::{Request, response::Parts};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use super::*;
use crate::gateway::{Limits, Timeouts};

type Bytes = bytes::Bytes;

struct Secured {
    running: Running,
    root: CertificateDer<'static>,
    _folder: TempDir,
}

impl Secured {
    async fn start(config: GatewayConfig) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let files = TlsConfig::new(folder.path().join("tls.crt"), folder.path().join("tls.key"));
        std::fs::write(&files.files.certificate, cert.pem()).expect("written");
        std::fs::write(&files.files.key, signing_key.serialize_pem()).expect("written");
        let config = GatewayConfig { tls: Some(files), ..config };
        let running = start_with(config, Scripted::new(&[])).await;
        Self { running, root: cert.der().clone(), _folder: folder }
    }

    /// A connection; its other half runs by itself.
    async fn connect(&self) -> SendRequest<Bytes> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(self.running.address).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
        let (sender, connection) = client::handshake(stream).await.expect("a preface");
        tokio::spawn(connection);
        sender
    }
}

fn publish() -> http::request::Builder {
    Request::post("https://localhost/api/v1/events")
        .header("authorization", format!("Bearer {}", token(WRITER)))
        .header("content-type", "application/cloudevents+json")
}

/// Sends a head and as much of the body as the server reads. The stream stays open unless `whole` is the end.
async fn send(
    sender: &SendRequest<Bytes>,
    request: http::request::Builder,
    body: &[u8],
    whole: Whole,
) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let mut sender = sender.clone().ready().await.expect("open");
    let request = request.body(()).expect("a request");
    let (answer, mut stream) = sender.send_request(request, false).expect("sent");
    let mut left = body;
    while !left.is_empty() {
        stream.reserve_capacity(left.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { break };
        let (piece, rest) = left.split_at(room.min(left.len()));
        if stream.send_data(Bytes::copy_from_slice(piece), rest.is_empty() && whole == Whole::Yes).is_err() {
            break;
        }
        left = rest;
    }
    (answer, stream)
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Whole {
    Yes,
    More,
}

async fn read(answer: h2::client::ResponseFuture) -> (Parts, Value) {
    let (parts, mut body) =
        timeout(HANGING, answer).await.expect("no hanging").expect("an answer").into_parts();
    let mut text = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        text.extend_from_slice(&piece);
    }
    (parts, serde_json::from_slice(&text).unwrap_or_default())
}

async fn ask(sender: &SendRequest<Bytes>, request: http::request::Builder, body: &[u8]) -> (Parts, Value) {
    read(send(sender, request, body, Whole::Yes).await.0).await
}

#[tokio::test]
async fn events_are_published_and_every_answer_carries_the_security_headers() {
    let secured = Secured::start(config()).await;
    let sender = secured.connect().await;
    let (parts, answer) = ask(&sender, publish(), event("a").to_string().as_bytes()).await;
    assert_eq!((parts.status.as_u16(), &answer["accepted"][0]["offset"]), (202, &0.into()), "{answer}");
    for (request, status) in [
        (publish(), 202),
        (publish().method("GET"), 405),
        (Request::post("https://localhost/api/v1/events"), 401),
        (Request::get("https://localhost/nowhere"), 404),
        (Request::get("https://localhost/readyz"), 200),
    ] {
        let (parts, _) = ask(&sender, request, event("b").to_string().as_bytes()).await;
        assert_eq!(parts.status.as_u16(), status);
        for (name, value) in [
            ("strict-transport-security", "max-age=31536000"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(parts.headers[name], value, "{status}");
        }
        assert!(parts.headers.contains_key("x-request-id") && !parts.headers.contains_key("server"));
    }
    // Clear text finds nobody here.
    let mut wire = Wire::open(&secured.running).await;
    wire.send(&Ask::new("GET", "/livez").bytes()).await;
    let mut said = Vec::new();
    while wire.more().await {
        said.append(&mut wire.unread);
    }
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{said:?}");
}

#[tokio::test]
async fn bodies_and_heads_beyond_their_limits_end_their_stream_and_no_other() {
    let limits = Limits { body_bytes: 300_000, ..Limits::default() };
    let secured = Secured::start(GatewayConfig { limits, ..config() }).await;
    let sender = secured.connect().await;
    let large = vec![b' '; 300_001];
    for declared in [true, false] {
        let request = if declared { publish().header("content-length", "300001") } else { publish() };
        let (parts, problem) = ask(&sender, request, &large).await;
        assert_eq!((parts.status.as_u16(), &problem["type"]), (413, &"/problems/body-too-large".into()));
    }
    let long = publish().header("x-long", "y".repeat(17 * 1024));
    let (parts, problem) = ask(&sender, long, b"{}").await;
    assert_eq!((parts.status.as_u16(), &problem["type"]), (431, &"/problems/headers-too-large".into()));
    let mut crowded = publish();
    for _ in 0..64 {
        crowded = crowded.header("a", "b");
    }
    assert_eq!(ask(&sender, crowded, b"{}").await.0.status.as_u16(), 431);
    let named_twice = publish().header("host", "a").header("host", "b");
    assert_eq!(ask(&sender, named_twice, b"{}").await.0.status.as_u16(), 400);
    let (parts, _) = ask(&sender, publish(), event("a").to_string().as_bytes()).await;
    assert_eq!(parts.status.as_u16(), 202, "the connection lives");
}

#[tokio::test]
async fn a_body_that_is_slow_is_answered_408_and_its_stream_ends() {
    let timeouts = Timeouts { body: Duration::from_millis(300), ..Timeouts::default() };
    let secured = Secured::start(GatewayConfig { timeouts, ..config() }).await;
    let sender = secured.connect().await;
    let (answer, mut stream) = send(&sender, publish(), b"{", Whole::More).await;
    let (parts, problem) = read(answer).await;
    assert_eq!((parts.status.as_u16(), &problem["type"]), (408, &"/problems/request-timeout".into()));
    let reset = timeout(HANGING, std::future::poll_fn(|cx| stream.poll_reset(cx))).await.expect("no hanging");
    assert_eq!(reset.expect("a reset, not an end of the connection"), h2::Reason::NO_ERROR);
    let (parts, _) = ask(&sender, publish(), event("a").to_string().as_bytes()).await;
    assert_eq!(parts.status.as_u16(), 202, "the connection lives");
}
