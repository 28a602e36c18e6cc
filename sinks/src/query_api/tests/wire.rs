//! Requests as bytes on a socket: what is framed badly is never read as two.

use std::net::SocketAddr;

use edge::{Listen, Listener};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use super::*;

/// The statuses of all answers until the other side closes.
async fn statuses(address: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // It may answer and close before it has read everything.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let text = String::from_utf8(answer).expect("text");
    text.match_indices("HTTP/1.1 ").map(|(at, _)| text[at + 9..at + 12].parse().expect("a status")).collect()
}

async fn start() -> SocketAddr {
    let (router, _) = api(&[]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener::bind(Listen::at("test", address)).await.expect("a free port");
    let address = listener.address();
    tokio::spawn(listener.serve(router, CancellationToken::new()));
    address
}

#[tokio::test]
async fn a_second_request_cannot_be_smuggled_in_the_first() {
    let address = start().await;
    let hidden = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = format!("2\r\n{{}}\r\n0\r\n\r\n{hidden}");
    let (cl, te) = (format!("content-length: {}\r\n", chunked.len()), "transfer-encoding: chunked\r\n");
    let closing = "connection: close\r\n";
    let head = "GET /livez HTTP/1.1\r\nhost: x\r\n";
    for (lines, body, expected) in [
        (format!("{cl}{te}"), chunked.as_str(), &[200][..]),
        (format!("{te}{cl}"), &chunked, &[200]),
        (te.to_owned(), &chunked, &[200]),
        ("content-length: 2\r\ncontent-length: 3\r\n".to_owned(), &format!("{{}}{hidden}"), &[400]),
        ("transfer-encoding: xchunked\r\n".to_owned(), &chunked, &[400]),
        ("content-length: +2\r\n".to_owned(), "{}", &[400]),
        // The body is a body, whatever it looks like.
        (format!("content-length: {}\r\n{closing}", hidden.len()), hidden, &[200]),
        (closing.to_owned(), hidden, &[200]),
    ] {
        let request = format!("{head}{lines}\r\n{body}");
        assert_eq!(statuses(address, request.as_bytes()).await, expected, "{request:?}");
    }
    let endless = format!("{head}{te}\r\n2;{}\r\n{{}}\r\n0\r\n\r\n{hidden}", "x".repeat(1 << 20));
    assert!(statuses(address, endless.as_bytes()).await.len() <= 1, "one request is at most one answer");
}

#[tokio::test]
async fn malformed_heads_are_refused_and_closed() {
    let address = start().await;
    for bad in [
        "GET /livez HTTP/1.1\r\nhost: x\r\nfolded: a\r\n b\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: x\r\nnul: a\0b\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: x\r\nspace : a\r\n\r\n",
        "GET /livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ] {
        assert_eq!(statuses(address, bad.as_bytes()).await, [400], "{bad:?}");
    }
    let bare = "GET /livez HTTP/1.1\nhost: x\nconnection: close\n\n";
    assert_eq!(statuses(address, bare.as_bytes()).await, [200], "one request all the same");
}
