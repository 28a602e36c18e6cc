//! Clear text.

use super::*;

fn limited(limits: ConnectionLimits) -> Listen {
    Listen { limits, ..listen() }
}

#[tokio::test]
async fn requests_are_answered_and_carry_their_peer() {
    let server = start(listen()).await;
    let answer = exchange(server.address, CLOSING).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
    assert!(!answer.to_lowercase().contains("strict-transport-security"), "not in clear text: {answer}");
    let peer = exchange(server.address, CLOSING.replace("GET /", "GET /peer")).await;
    assert!(peer.ends_with("127.0.0.1"), "{peer}");
    // Without TLS there is no HTTP/2, not even for who knows better.
    let answer = exchange(server.address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!answer.contains("200"), "{answer}");
}

#[tokio::test]
async fn slow_heads_and_silent_clients_are_not_waited_for() {
    let server = start(limited(ConnectionLimits { head: SOON, ..ConnectionLimits::default() })).await;
    assert!(exchange(server.address, CLOSING).await.starts_with("HTTP/1.1 200"));
    // These end because the server closes, not the client.
    assert!(!exchange(server.address, "GET / HTTP/1.1\r\nHost:").await.contains("200"));
    assert!(!exchange(server.address, "").await.contains("200"));
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let limits = ConnectionLimits { per_address: 1, ..ConnectionLimits::default() };
    let server = start(limited(limits)).await;
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
    let server = start(listen()).await;
    let slow = tokio::spawn(exchange(server.address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
    let idle = tokio::spawn(exchange(server.address, ""));
    server.entered.notified().await;
    server.stop.cancel();
    idle.await.expect("closed");
    // Nobody is let in any more.
    TcpStream::connect(server.address).await.expect_err("the listener is gone");
    server.finish.notify_one();
    assert!(slow.await.expect("answered").ends_with("slow"));
    server.ended.await.expect("ended");
}

#[tokio::test]
async fn an_answer_that_never_comes_does_not_keep_the_server() {
    let limits = ConnectionLimits { drain: Duration::from_millis(50), ..ConnectionLimits::default() };
    let server = start(limited(limits)).await;
    let slow = tokio::spawn(exchange(server.address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
    server.entered.notified().await;
    server.stop.cancel();
    server.ended.await.expect("ended");
    assert_eq!(slow.await.expect("cut off"), "");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let server = start(listen()).await;
    let error = Listener::bind(Listen { address: server.address, ..listen() }).await.expect_err("taken");
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
}
