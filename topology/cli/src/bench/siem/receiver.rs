//! A receiver that reads every request, drops it, and says that all is well.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\r\n\
    {\"text\":\"Success\",\"code\":0}";
/// Longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Records received since the beginning of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Received {
    pub(super) requests: u64,
    /// Of bodies.
    pub(super) bytes: u64,
    /// From the first request to the last answer.
    pub(super) took: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    received: Received,
    first: Option<Instant>,
}

/// Listens until it is dropped.
pub(super) struct Receiver {
    address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("a port for the receiver")?;
        let (address, counts) = (listener.local_addr()?, Arc::new(Mutex::new(Counts::default())));
        let shared = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counts = Arc::clone(&shared);
                // A connection that breaks is its client's affair.
                tokio::spawn(async move { drop(serve(stream, &counts).await) });
            }
        });
        Ok(Self { address, counts, task })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Forgets what came before.
    pub(super) fn begin(&self) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = Counts::default();
    }

    /// Records received.
    pub(super) fn end(&self) -> anyhow::Result<Received> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.first.context("the receiver got no request")?;
        Ok(counts.received)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, counts: &Mutex<Counts>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut scratch = vec![0; 64 * 1024];
    while let Some(length) = head(&mut stream).await? {
        let begun = Instant::now();
        let mut left = length;
        while left > 0 {
            let piece = scratch.len().min(left);
            let read = stream.read(&mut scratch[..piece]).await?;
            if read == 0 {
                return Ok(());
            }
            left -= read;
        }
        stream.get_mut().write_all(ANSWER).await?;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *counts.first.get_or_insert(begun);
        counts.received.requests += 1;
        counts.received.bytes += length as u64;
        counts.received.took = first.elapsed();
    }
    Ok(())
}

/// Reads a head; the length of the body that follows. `None` where the connection ends or the head is none.
async fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<usize>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) if head.len() < MAX_HEAD_BYTES => head.push(byte),
            _ => return Ok(None),
        }
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if text.contains("expect: 100-continue") {
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    Ok(Some(length.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_request_is_answered_and_counted() {
        let receiver = Receiver::start().await.expect("a port");
        assert!(receiver.end().is_err(), "nothing came");
        let mut stream = TcpStream::connect(receiver.address).await.expect("connected");
        for body in ["one", "three"] {
            let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = vec![0; ANSWER.len()];
            stream.read_exact(&mut answer).await.expect("answered");
            assert_eq!(answer, ANSWER);
        }
        let came = receiver.end().expect("two came");
        assert_eq!((came.requests, came.bytes), (2, 8));
        receiver.begin();
        assert!(receiver.end().is_err());
    }
}
