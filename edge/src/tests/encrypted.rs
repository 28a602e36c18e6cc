//! Handshakes: good ones, bad ones, none at all; and certificates that change.

use super::*;

/// Start of a TLS 1.1 handshake: a ClientHello.
const TLS_1_1_HELLO: &[u8] = &[
    0x16, 0x03, 0x01, 0x00, 0x39, // handshake, 57 bytes
    0x01, 0x00, 0x00, 0x35, // ClientHello, 53 bytes
    0x03, 0x02, // TLS 1.1
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
    29, 30, 31, 32,   // random
    0x00, // no session
    0x00, 0x04, 0x00, 0x2f, 0xc0, 0x13, // two cipher suites of that time
    0x01, 0x00, // no compression
    0x00, 0x08, 0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x04, 0x01, // signatures: RSA with SHA-256
];

#[tokio::test]
async fn the_protocol_is_what_both_sides_speak() {
    let secured = secured();
    let server = secured.start(ConnectionLimits::default()).await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = secured.shake(server.address, offered).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
    }
    secured.shake(server.address, &["spdy/3"]).await.expect_err("nothing in common");
    for offered in [&["http/1.1"][..], &[]] {
        let mut stream = secured.shake(server.address, offered).await.expect("a handshake");
        stream.write_all(CLOSING.as_bytes()).await.expect("sent");
        let answer = String::from_utf8(to_end(&mut stream).await).expect("text").to_lowercase();
        assert!(answer.starts_with("http/1.1 200") && answer.ends_with("ok"), "{answer}");
        assert!(answer.contains("\r\nstrict-transport-security: max-age=31536000\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn old_tls_and_clear_text_are_refused_and_closed() {
    let secured = secured();
    let server = secured.start(ConnectionLimits::default()).await;
    assert_eq!(TLS_1_1_HELLO.len(), 5 + 0x39);
    let mut old = TcpStream::connect(server.address).await.expect("connects");
    old.write_all(TLS_1_1_HELLO).await.expect("sent");
    let answer = to_end(&mut old).await;
    // A fatal alert, protocol_version.
    assert_eq!((answer.first(), answer.get(5..)), (Some(&0x15), Some(&[2, 70][..])), "{answer:?}");
    let answer = exchange(server.address, CLOSING).await;
    assert!(!answer.contains("HTTP"), "{answer}");
    let stranger = super::secured();
    stranger.shake(server.address, &["h2"]).await.expect_err("a certificate that nobody vouches for");
    // All of that has disturbed nobody.
    secured.shake(server.address, &["h2"]).await.expect("a handshake");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for_and_counts_as_a_connection() {
    let secured = secured();
    let limits = ConnectionLimits { handshake: SOON, per_address: 1, ..ConnectionLimits::default() };
    let server = secured.start(limits).await;
    let mut silent = TcpStream::connect(server.address).await.expect("connects");
    let refused = secured.shake(server.address, &["h2"]).await;
    assert!(refused.is_err(), "the silent one has the only place");
    assert!(to_end(&mut silent).await.is_empty(), "closed without a word");
    let mut half = TcpStream::connect(server.address).await.expect("connects");
    half.write_all(&TLS_1_1_HELLO[..20]).await.expect("sent");
    to_end(&mut half).await;
    while secured.shake(server.address, &["h2"]).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_after_its_handshake_is_closed() {
    let secured = secured();
    let limits = ConnectionLimits { head: SOON, ..ConnectionLimits::default() };
    let server = secured.start(limits).await;
    let mut silent = secured.shake(server.address, &["http/1.1"]).await.expect("a handshake");
    assert!(to_end(&mut silent).await.is_empty());
    // Over HTTP/2 even the preface is missing.
    let mut silent = secured.shake(server.address, &["h2"]).await.expect("a handshake");
    assert!(!String::from_utf8_lossy(&to_end(&mut silent).await).contains("HTTP"));
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_handshake() {
    let secured = secured();
    // Longer than the test waits.
    let long = HANGING * 2;
    let limits = ConnectionLimits { handshake: long, drain: long, ..ConnectionLimits::default() };
    let server = secured.start(limits).await;
    let mut silent = TcpStream::connect(server.address).await.expect("connects");
    // Accepted for certain once somebody behind it was.
    secured.shake(server.address, &["h2"]).await.expect("a handshake");
    server.stop.cancel();
    timeout(HANGING, server.ended).await.expect("it ends").expect("no panic");
    assert!(to_end(&mut silent).await.is_empty());
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart() {
    let mut secured = secured();
    let server = secured.start(ConnectionLimits::default()).await;
    let mut open = secured.shake(server.address, &["http/1.1"]).await.expect("a handshake");
    let old = secured.root.clone();
    secured.replace();
    let until_used = async {
        while secured.shake(server.address, &["h2"]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(HANGING, until_used).await.expect("the new certificate is used");
    let new = std::mem::replace(&mut secured.root, old);
    secured.shake(server.address, &["h2"]).await.expect_err("the old one is gone");
    secured.root = new;
    // What was open goes on.
    open.write_all(CLOSING.as_bytes()).await.expect("sent");
    assert!(to_end(&mut open).await.ends_with(b"ok"));
}

#[tokio::test]
async fn a_listener_without_its_certificate_does_not_start() {
    let secured = secured();
    std::fs::remove_file(&secured.tls.files.key).expect("removed");
    let config = Listen { tls: Some(secured.tls.clone()), ..listen() };
    let error = Listener::bind(config).await.expect_err("no key");
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(error.to_string().contains("test") && source.contains("tls.key"), "{error}: {source}");
}
