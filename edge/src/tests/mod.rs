//! Real sockets on loopback, in clear text and over TLS.

pub(crate) mod certificates;
mod clear;
mod encrypted;
mod http2;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    routing::{get, post},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use self::certificates::{Issued, issue};
use crate::{ConnectionLimits, Listen, Listener, peer::Peer, tls::TlsConfig};

/// Ends a test that would hang; nothing is asserted by it.
const HANGING: Duration = Duration::from_mins(1);
/// Time limit for quick steps, long enough for a busy machine.
const SOON: Duration = Duration::from_millis(500);
/// A request after whose response the connection closes.
const CLOSING: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A listener that serves.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<()>,
    /// `/slow` answers once this is notified, and notifies the other when it was entered.
    finish: Arc<Notify>,
    entered: Arc<Notify>,
}

/// Files of a certificate, and the authority that clients must trust.
struct Secured {
    _folder: TempDir,
    tls: TlsConfig,
    root: CertificateDer<'static>,
}

fn secured() -> Secured {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = TlsConfig {
        look_every: Duration::from_millis(10),
        ..TlsConfig::new(folder.path().join("tls.crt"), folder.path().join("tls.key"))
    };
    let mut secured = Secured { _folder: folder, tls, root: CertificateDer::from(Vec::new()) };
    secured.replace();
    secured
}

impl Secured {
    /// Puts another certificate and key into the files.
    fn replace(&mut self) {
        let Issued { certificate, key, der } = issue("localhost");
        std::fs::write(&self.tls.files.certificate, certificate).expect("written");
        std::fs::write(&self.tls.files.key, key).expect("written");
        self.root = der;
    }

    async fn start(&self, limits: ConnectionLimits) -> Running {
        start(Listen { tls: Some(self.tls.clone()), limits, ..listen() }).await
    }

    /// A handshake as a client does it that trusts the certificate, offering these protocols.
    async fn shake(&self, address: SocketAddr, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

fn listen() -> Listen {
    Listen::at("test", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

async fn start(config: Listen) -> Running {
    let listener = Listener::bind(config).await.expect("a free port");
    let address = listener.address();
    let (finish, entered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (finish, entered) = (finish.clone(), entered.clone());
        move || async move {
            entered.notify_one();
            finish.notified().await;
            "slow"
        }
    };
    let count = async |body: Body| match axum::body::to_bytes(body, 1 << 20).await {
        Ok(bytes) => bytes.len().to_string(),
        Err(error) => error.to_string(),
    };
    let router = Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/peer", get(|Extension(Peer(address)): Extension<Peer>| async move { address.to_string() }))
        .route("/slow", get(slow))
        .route("/large", get(|| async { vec![b'x'; 1 << 20] }))
        .route("/count", post(count));
    let stop = CancellationToken::new();
    let ended = tokio::spawn(listener.serve(router, stop.clone()));
    Running { address, stop, ended, finish, entered }
}

/// Sends the bytes and reads until the server closes.
async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    // It may close before it has read all of it.
    drop(stream.write_all(request.as_ref()).await);
    String::from_utf8_lossy(&to_end(&mut stream).await).into_owned()
}

/// The bytes until the other side closes. A reset after the response counts as an end.
async fn to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    drop(timeout(HANGING, stream.read_to_end(&mut answer)).await.expect("the server closes"));
    answer
}
