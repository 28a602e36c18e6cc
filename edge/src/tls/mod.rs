//! TLS of a listener: 1.2 or newer, HTTP/2 or HTTP/1.1 by ALPN, and a certificate that is reloaded when its
//! files change.

mod files;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use chrono::Utc;
use files::Loaded;
pub use files::{TlsError, TlsFiles};
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

/// HTTP/2 in ALPN.
pub(crate) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Interval of checking the files for changes.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Outcomes of a reload.
const USED: &str = "used";
const REFUSED: &str = "refused";

/// Certificate files of a listener, and the interval of checking them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The files.
    pub files: TlsFiles,
    /// Interval of checking them for changes while the listener runs.
    pub look_every: Duration,
}

impl TlsConfig {
    /// The certificate and its key, in PEM files.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let files = TlsFiles { certificate: certificate.into(), key: key.into() };
        Self { files, look_every: LOOK_EVERY }
    }
}

/// Current TLS state of a listener.
#[derive(Debug)]
pub(crate) struct Tls {
    config: TlsConfig,
    listener: &'static str,
    current: Arc<Current>,
    /// Digest of the last files read, usable or not, so that nothing is reported twice.
    seen: Mutex<[u8; 32]>,
    server: Arc<ServerConfig>,
}

/// Certificate for new handshakes.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// Reads the files; fails where a client would reject their content.
    pub(crate) fn load(config: TlsConfig, listener: &'static str) -> Result<Self, TlsError> {
        let Loaded { key, expires_at, digest } = config.files.load(Utc::now())?;
        let current = Arc::new(Current(ArcSwap::from_pointee(key)));
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("the provider has cipher suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        server.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        tell_expiry(listener, expires_at);
        // With 0, so that an alert sees the first one.
        for outcome in [USED, REFUSED] {
            reloads(listener, outcome).increment(0);
        }
        Ok(Self { config, listener, current, seen: Mutex::new(digest), server: Arc::new(server) })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.server))
    }

    /// Checks the files for changes for ever. A pair that cannot be used is logged and changes nothing.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut ticks = interval(self.config.look_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tls = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || tls.look()).await {
                error!(%error, "cannot check the certificate files for changes");
            }
        }
    }

    fn look(&self) {
        let (digest, loaded) = self.config.files.look(Utc::now());
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == digest {
                return;
            }
            *seen = digest;
        }
        let outcome = match loaded {
            Ok(Loaded { key, expires_at, .. }) => {
                self.current.0.store(Arc::new(key));
                tell_expiry(self.listener, expires_at);
                info!(listener = self.listener, "the certificate has changed and is in use");
                USED
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                error!(
                    listener = self.listener,
                    error, "the certificate has changed and cannot be used; keeping the previous one"
                );
                REFUSED
            }
        };
        reloads(self.listener, outcome).increment(1);
    }
}

fn reloads(listener: &'static str, outcome: &'static str) -> metrics::Counter {
    metrics::counter!("weir_tls_certificate_reloads_total", "listener" => listener, "outcome" => outcome)
}

/// Updates the metric of the certificate's expiry, for alerts.
fn tell_expiry(listener: &'static str, expires_at: i64) {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    metrics::gauge!("weir_tls_certificate_expires_timestamp_seconds", "listener" => listener)
        .set(expires_at as f64);
}
