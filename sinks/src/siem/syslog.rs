//! A connection to a receiver of syslog.
//!
//! Syslog has no acknowledgement. A message counts as delivered once the receiver's kernel has acknowledged its bytes and the
//! connection still stands; a receiver that dies may lose what its kernel took.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;
use siem::{Message, Verdict, reach::Reach, settings::Sink as SinkSetup, syslog::Syslog};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::http::resolved;

/// Time limit for resolving the name, for connecting to its addresses, and for TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shortest time limit for one address.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(1);
/// Time limit within which the receiver's kernel must acknowledge a batch.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval between checks of the send queue.
const LOOK: Duration = Duration::from_millis(2);

pub(super) struct SyslogConnection {
    syslog: Syslog,
    reach: Reach,
    tls: Option<TlsConnector>,
    stream: Option<Stream>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

enum Trouble {
    /// Try again.
    Away(String),
    /// Nobody but an operator can help.
    Setup(String),
}

impl SyslogConnection {
    pub(super) fn new(syslog: Syslog, setup: &SinkSetup) -> Result<Self, String> {
        let tls = syslog.tls.then(|| connector(setup)).transpose()?;
        Ok(Self { syslog, reach: setup.reach.clone(), tls, stream: None })
    }

    /// Sends messages, each in its frame.
    pub(super) async fn send(&mut self, messages: &[&Message]) -> Verdict {
        let frames: Vec<u8> = messages.iter().flat_map(|message| self.syslog.frame(message)).collect();
        let taken = self.stream.take();
        match self.bring(taken, &frames).await {
            Ok(stream) => {
                self.stream = Some(stream);
                Verdict::Delivered
            }
            Err(Trouble::Away(why)) => Verdict::retry(why),
            Err(Trouble::Setup(why)) => Verdict::Pause { why },
        }
    }

    async fn bring(&self, stream: Option<Stream>, frames: &[u8]) -> Result<Stream, Trouble> {
        let mut kept = stream;
        let stands = match &mut kept {
            Some(stream) => stream.stands().await,
            None => false,
        };
        let mut stream = match kept.filter(|_| stands) {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let sending = async {
            stream.write(frames).await?;
            stream.drained().await
        };
        match timeout(SEND_TIMEOUT, sending).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(error)) => Err(Trouble::Away(format!("the connection broke: {error}"))),
            Err(_) => Err(Trouble::Away("the receiver took nothing for 30 s".into())),
        }
    }

    async fn connect(&self) -> Result<Stream, Trouble> {
        let Syslog { host, port, .. } = &self.syslog;
        let late = |what: &str| Trouble::Away(format!("{what} within {} s", CONNECT_TIMEOUT.as_secs()));
        let resolving = timeout(CONNECT_TIMEOUT, resolved(&self.reach, host, *port)).await;
        let addresses = resolving.map_err(|_| late("its name is not resolved"))?.map_err(|error| {
            let why = error.to_string();
            if error.downcast_ref::<io::Error>().is_some() { Trouble::Away(why) } else { Trouble::Setup(why) }
        })?;
        let plain = first(&addresses, limit_of_each(addresses.len()))
            .await
            .map_err(|error| Trouble::Away(format!("cannot connect: {error}")))?;
        plain.set_nodelay(true).map_err(|error| Trouble::Away(error.to_string()))?;
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(plain)) };
        let name = ServerName::try_from(host.clone())
            .map_err(|_| Trouble::Setup(format!("{host:?} is no name that a certificate can have")))?;
        let greeting = timeout(CONNECT_TIMEOUT, tls.connect(name, plain)).await;
        let stream = greeting.map_err(|_| late("no TLS"))?.map_err(|error| refused(&error))?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// A certificate that is not believed is nothing that a retry mends.
fn refused(error: &io::Error) -> Trouble {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => {
            Trouble::Setup(format!("its certificate is refused: {error}"))
        }
        _ => Trouble::Away(format!("no TLS: {error}")),
    }
}

/// Time limit for each of so many addresses.
fn limit_of_each(addresses: usize) -> Duration {
    let addresses = u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    (CONNECT_TIMEOUT / addresses).max(ADDRESS_TIMEOUT)
}

/// A connection to the first address that takes one in time.
async fn first(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let mut outcome = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for address in addresses {
        outcome = timeout(limit, TcpStream::connect(address)).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")))
        });
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn connector(setup: &SinkSetup) -> Result<TlsConnector, String> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = rustls::ClientConfig::builder();
    let config = match &setup.ca_certificate {
        None => builder.with_platform_verifier().map_err(|error| error.to_string())?.with_no_client_auth(),
        Some(file) => {
            let bad = |error: &dyn std::fmt::Display| format!("ca_certificate {}: {error}", file.display());
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| bad(&error))? {
                roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
            }
            if roots.is_empty() {
                return Err(bad(&"it holds no certificate in PEM form"));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Whether the receiver has not closed the connection.
    async fn stands(&mut self) -> bool {
        let mut byte = [0; 64];
        let read = async {
            match self {
                Self::Plain(stream) => stream.read(&mut byte).await,
                Self::Tls(stream) => stream.read(&mut byte).await,
            }
        };
        // Nothing to read is as it should be; a receiver that says something is left to say it.
        match timeout(Duration::ZERO, read).await {
            Err(_) => true,
            Ok(Ok(count)) => count > 0,
            Ok(Err(_)) => false,
        }
    }

    /// Waits until the receiver's kernel has acknowledged everything and the connection still stands. The caller limits the
    /// time: what a hung receiver has not acknowledged is not delivered.
    async fn drained(&mut self) -> io::Result<()> {
        loop {
            let (own, peer) = (self.tcp().local_addr()?, self.tcp().peer_addr()?);
            let queued = tokio::task::spawn_blocking(move || send_queue(own, peer)).await?;
            match queued {
                // Where the kernel does not tell, what was written counts.
                None | Some(0) => break,
                Some(_) => sleep(LOOK).await,
            }
        }
        if self.stands().await { Ok(()) } else { Err(io::ErrorKind::ConnectionReset.into()) }
    }
}

/// Bytes that a connection of this process has sent and its peer has not acknowledged, as the kernel tells
/// (`/proc/net/tcp`, the column `tx_queue`); none where it does not list the connection.
fn send_queue(own: SocketAddr, peer: SocketAddr) -> Option<u64> {
    let file = if own.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    queue_in(&std::fs::read_to_string(file).ok()?, own.port(), peer.port())
}

fn queue_in(table: &str, own: u16, peer: u16) -> Option<u64> {
    let (own, peer) = (format!(":{own:04X}"), format!(":{peer:04X}"));
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (from, to, _, queues) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
        let sent = queues.split_once(':')?.0;
        (from.ends_with(&own) && to.ends_with(&peer)).then(|| u64::from_str_radix(sent, 16).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 1 1 0\n   \
        1: 0100007F:A1B2 0100007F:1F90 01 0000002A:00000000 01:00000014 00000000  1000 0 2 2 0\n";

    #[test]
    fn the_kernel_tells_what_is_not_acknowledged() {
        assert_eq!(queue_in(TABLE, 0xA1B2, 0x1F90), Some(42));
        assert_eq!(queue_in(TABLE, 0xA1B2, 1), None);
        assert_eq!(queue_in("", 1, 2), None);
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        let full = tokio::net::TcpSocket::new_v4().expect("a socket");
        full.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let full = full.listen(1).expect("it listens");
        let silent = full.local_addr().expect("bound");
        // Nobody accepts: once its queue is full, the kernel answers no more.
        let (limit, mut held) = (Duration::from_millis(300), Vec::new());
        while let Ok(Ok(stream)) = timeout(limit, TcpStream::connect(silent)).await {
            held.push(stream);
        }
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = open.local_addr().expect("bound");
        let stream = first(&[silent, address], limit).await.expect("the second answers");
        assert_eq!(stream.peer_addr().expect("connected"), address);
        let error = first(&[silent], limit).await.expect_err("nobody answers");
        assert!(error.to_string().contains("does not answer"), "{error}");
        let shares = [1, 2, 5, 40].map(|addresses| limit_of_each(addresses).as_millis());
        assert_eq!(shares, [5_000, 2_500, 1_000, 1_000]);
    }

    #[tokio::test]
    async fn a_receiver_that_reads_nothing_leaves_the_queue_full() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let (mut held, _) = listener.accept().await.expect("accepted");
        let own = stream.local_addr().expect("an address");
        stream.write_all(b"a").await.expect("written");
        let mut byte = [0; 1];
        held.read_exact(&mut byte).await.expect("read");
        while send_queue(own, address) != Some(0) {
            tokio::task::yield_now().await;
        }
        while stream.try_write(&[0; 16_384]).is_ok() {}
        assert!(send_queue(own, address).is_some_and(|queued| queued > 0));
        let mut plain = Stream::Plain(stream);
        assert!(plain.stands().await);
        drop(held);
        while plain.stands().await {
            tokio::task::yield_now().await;
        }
    }
}
