//! A receiver that answers as it is told.

use std::{
    fmt::Write as _,
    io::Read as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Answer to a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A whole answer.
    Http { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// The connection is reset once the request is read.
    Reset,
    /// The connection ends within the answer's head.
    CutHead,
    /// The connection ends within the answer's body.
    CutBody,
}

impl Answer {
    /// A status and a body in JSON.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self::Http { status, headers, body: body.as_bytes().to_vec() }
    }
}

/// A request as it came: its path, its headers in lower case, its body decompressed.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

type Script = Box<dyn FnMut(&Request) -> Answer + Send>;

/// Serves one connection after another, each in a task of its own.
pub(crate) struct Receiver {
    pub(crate) url: String,
    script: Arc<Mutex<Script>>,
    requests: Arc<AtomicUsize>,
}

impl Receiver {
    /// Listens on a free port; answers 500 until it is told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener)
    }

    /// Listens there.
    pub(crate) fn on(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(|_| Answer::json(500, "{}"))));
        let requests = Arc::new(AtomicUsize::new(0));
        tokio::spawn({
            let (script, requests) = (Arc::clone(&script), Arc::clone(&requests));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&requests)));
                }
            }
        });
        Self { url, script, requests }
    }

    /// From now on every request is answered so.
    pub(crate) fn answers(&self, answer: Answer) {
        self.plays(move |_| answer.clone());
    }

    /// From now on requests are answered by that script.
    pub(crate) fn plays(&self, script: impl FnMut(&Request) -> Answer + Send + 'static) {
        *self.script.lock().expect("held briefly") = Box::new(script);
    }

    /// Requests that came.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Script>>, requests: Arc<AtomicUsize>) {
    while let Some(request) = read(&mut stream).await {
        requests.fetch_add(1, Ordering::Relaxed);
        let answer = (script.lock().expect("held briefly"))(&request);
        let (status, headers, body, sent) = match answer {
            Answer::Http { status, headers, body } => {
                let length = body.len();
                (status, headers, body, length)
            }
            Answer::Reset => {
                stream.set_zero_linger().expect("a socket");
                return;
            }
            Answer::CutHead => {
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-ty").await);
                return;
            }
            Answer::CutBody => (200, Vec::new(), b"{\"took\":1,\"items\":[".to_vec(), 4_000),
        };
        let mut head = format!("HTTP/1.1 {status} Answer\r\ncontent-length: {sent}\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").expect("a String takes everything");
        }
        head.push_str("\r\n");
        if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&body).await.is_err() {
            return;
        }
        if sent != body.len() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let mut part = vec![0; 16 * 1024];
        match stream.read(&mut part).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&part[..count]),
            _ => return None,
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let of = |name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
    let length: usize = of("content-length:").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(head);
    while body.len() < length {
        let mut part = vec![0; 64 * 1024];
        match stream.read(&mut part).await {
            Ok(count) if count > 0 => body.extend_from_slice(&part[..count]),
            _ => return None,
        }
    }
    if of("content-encoding:").as_deref() == Some("gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).expect("gzip");
        body = plain;
    }
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    Some(Request { path, head: text, body })
}
