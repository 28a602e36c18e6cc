//! Requests that are framed, sized, paced or encoded badly.

use std::io::Write;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::*;
use crate::gateway::{Limits, Timeouts};

const MIB: usize = 1024 * 1024;

/// Sends bytes; the statuses of all answers until the gateway closes.
async fn answers(running: &Running, bytes: &[u8]) -> Vec<u16> {
    let mut wire = Wire::open(running).await;
    wire.send(bytes).await;
    let mut statuses = Vec::new();
    while let Some(reply) = wire.reply().await {
        statuses.push(reply.status);
    }
    statuses
}

/// `POST /api/v1/events` with these header lines, then these bytes.
fn raw(lines: &str, rest: &str) -> Vec<u8> {
    let ask = Ask::publish("application/cloudevents+json", "");
    format!("{}{lines}\r\n{rest}", ask.head).into_bytes()
}

#[tokio::test]
async fn a_second_request_cannot_be_smuggled_in_the_first() {
    let running = start().await;
    let body = event("a").to_string();
    let hidden = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n{hidden}", body.len());
    let both = |order: &str| raw(order, &chunked);
    let cl = format!("content-length: {}\r\n", chunked.len());
    let te = "transfer-encoding: chunked\r\n";
    assert_eq!(answers(&running, &both(&format!("{cl}{te}"))).await, [202]);
    assert_eq!(answers(&running, &both(&format!("{te}{cl}"))).await, [202]);
    let two = format!("content-length: {}\r\ncontent-length: 3\r\n", body.len());
    assert_eq!(answers(&running, &raw(&two, &format!("{body}{hidden}"))).await, [400]);
    for te in ["xchunked", "chunked, identity", "gzip", "chunked\x0b"] {
        let lines = format!("transfer-encoding: {te}\r\n");
        assert_eq!(answers(&running, &raw(&lines, &chunked)).await, [400], "{te:?}");
    }
    for length in ["+5", "-1", "5, 6", "0x10", ""] {
        let lines = format!("content-length: {length}\r\n");
        assert_eq!(answers(&running, &raw(&lines, &body)).await, [400], "{length:?}");
    }
}

#[tokio::test]
async fn malformed_heads_are_refused_and_closed() {
    let running = start().await;
    for bad in [
        "GET /livez HTTP/1.1\r\nhost: x\r\nfolded: a\r\n b\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: x\r\nnul: a\0b\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: x\r\nspace : a\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: x\r\n: a\r\n\r\n",
        "GET  /livez HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /li\u{7f}vez HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /livez HTTP/3.1\r\nhost: x\r\n\r\n",
        "GET /livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ] {
        assert_eq!(answers(&running, bad.as_bytes()).await, [400], "{bad:?}");
    }
}

#[tokio::test]
async fn a_bare_line_feed_never_makes_two_requests_of_one() {
    let running = start().await;
    let one = b"GET /livez HTTP/1.1\nhost: x\nconnection: close\n\n";
    assert_eq!(answers(&running, one).await, [200]);
    let hidden = "x: y\n\nGET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let bytes = raw(&format!("content-length: {}\r\n", hidden.len()), hidden);
    let mut wire = Wire::open(&running).await;
    wire.send(&bytes).await;
    wire.reply().await.expect("an answer").expect(400, "invalid-json");
    wire.send(&Ask::new("GET", "/nowhere").bytes()).await;
    wire.reply().await.expect("the next answer is to the next request").expect(404, "not-found");
}

#[tokio::test]
async fn chunk_extensions_and_trailers_are_bounded() {
    let running = start().await;
    let te = "transfer-encoding: chunked\r\n";
    let extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(MIB));
    let bad_chunks = ["zz\r\n{}\r\n0\r\n\r\n".to_owned(), "2\r\n{}0\r\n\r\n".to_owned(), extension];
    for bad in bad_chunks {
        assert_eq!(answers(&running, &raw(te, &bad)).await, [400], "{}", &bad[..8]);
    }
    assert!(running.kafka.published().is_empty());
}

#[tokio::test]
async fn heads_are_bounded() {
    let running = start().await;
    let mut many = Ask::new("GET", "/livez");
    for n in 0..64 {
        many = many.header(&format!("x-{n}"), "1");
    }
    many.to(&running).await.expect(431, "headers-too-large");
    let long = Ask::new("GET", "/livez").header("x-long", &"x".repeat(20 * 1024));
    long.to(&running).await.expect(431, "headers-too-large");
    let endless = Ask::new("GET", "/livez").header("x-long", &"x".repeat(MIB));
    assert_eq!(answers(&running, &endless.bytes()).await, [431]);
    let path = Ask::new("GET", &format!("/{}", "x".repeat(20 * 1024)));
    path.to(&running).await.expect(431, "headers-too-large");
}

#[tokio::test]
async fn bodies_are_bounded_however_they_come() {
    let running = start().await;
    let spaces = vec![b' '; MIB + 1];
    let declared = Ask::publish("application/cloudevents+json", spaces.clone()).to(&running).await;
    declared.expect(413, "body-too-large");
    let head =
        Ask::publish("application/cloudevents+json", "").header("transfer-encoding", "chunked").bytes();
    let chunked =
        [format!("{:x}\r\n", spaces.len()).into_bytes(), spaces, b"\r\n0\r\n\r\n".to_vec()].concat();
    let mut wire = Wire::open(&running).await;
    wire.send(&[head, chunked].concat()).await;
    wire.reply().await.expect("an answer").expect(413, "body-too-large");
    assert!(wire.closed().await);
    let just = Ask::publish("application/cloudevents+json", vec![b' '; MIB]).to(&running).await;
    just.expect(400, "invalid-json");
}

#[tokio::test]
async fn encodings_are_bounded_known_and_single() {
    let running = start().await;
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 9 * MIB]).expect("to memory");
    let bomb = bomb.finish().expect("to memory");
    let event = event("a").to_string();
    let zstd_bomb = zstd::encode_all(&vec![b' '; 9 * MIB][..], 1).expect("to memory");
    for (encoding, body, status, slug) in [
        ("gzip", bomb.clone(), 413, "body-too-large"),
        ("zstd", zstd_bomb, 413, "body-too-large"),
        ("gzip", bomb[..bomb.len() / 2].to_vec(), 413, "body-too-large"),
        ("gzip", event.clone().into_bytes(), 400, "invalid-encoding"),
        ("zstd", event.clone().into_bytes(), 400, "invalid-encoding"),
        ("gzip, gzip", bomb.clone(), 415, "unsupported-encoding"),
        ("br", event.clone().into_bytes(), 415, "unsupported-encoding"),
    ] {
        let ask = Ask::publish("application/cloudevents+json", body).header("content-encoding", encoding);
        ask.to(&running).await.expect(status, slug);
    }
    for media in ["text/plain", "application/cloudevents+json; charset=utf-16", "application/avro"] {
        Ask::publish(media, event.clone()).to(&running).await.expect(415, "unsupported-media-type");
    }
}

#[tokio::test]
async fn other_methods_are_told_which_are_taken() {
    let running = start().await;
    for method in ["TRACE", "PUT", "GET", "DELETE", "MADEUP"] {
        let reply = Ask::new(method, "/api/v1/events").to(&running).await;
        reply.expect(405, "method-not-allowed");
        assert_eq!(reply.header("allow"), "OPTIONS,POST", "{method}");
    }
    assert_eq!(Ask::new("POST", "/livez").to(&running).await.header("allow"), "GET,HEAD");
    let overridden = Ask::new("GET", "/livez").header("x-http-method-override", "DELETE");
    assert_eq!(overridden.to(&running).await.status, 200, "the override is not looked at");
}

#[tokio::test]
async fn targets_that_are_no_path_are_refused() {
    let running = start().await;
    for (head, status) in [
        ("CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404),
        ("GET http://other.example/livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 200),
        ("GET /api/v1/../../livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404),
    ] {
        assert_eq!(answers(&running, head.as_bytes()).await, [status], "{head}");
    }
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_it_is_wanted() {
    let running = start().await;
    let body = event("a").to_string();
    let expecting = format!("expect: 100-continue\r\ncontent-length: {}\r\n", body.len());
    let mut wire = Wire::open(&running).await;
    wire.send(&raw(&expecting, "")).await;
    assert_eq!(wire.reply().await.expect("go on").status, 100);
    wire.send(body.as_bytes()).await;
    assert_eq!(wire.reply().await.expect("an answer").status, 202);
    let stranger = Ask::new("POST", "/api/v1/events").head + &expecting + "\r\n";
    let mut wire = Wire::open(&running).await;
    wire.send(stranger.as_bytes()).await;
    wire.reply().await.expect("an answer").expect(401, "unauthenticated");
    let oversize = raw("expect: 100-continue\r\ncontent-length: 9999999\r\n", "");
    assert_eq!(answers(&running, &oversize).await, [413]);
}

fn hasty() -> GatewayConfig {
    // Long enough for a good request on a busy machine.
    let soon = Duration::from_secs(1);
    GatewayConfig { timeouts: Timeouts { head: soon, body: soon, ..Timeouts::default() }, ..config() }
}

#[tokio::test]
async fn slow_heads_are_closed_and_slow_bodies_answered() {
    let running = start_with(hasty(), Scripted::new(&[])).await;
    let mut silent = Wire::open(&running).await;
    assert!(silent.closed().await);
    let mut half = Wire::open(&running).await;
    half.send(b"GET /livez HTTP/1.1\r\nhost:").await;
    // Closed; the parser may say 408 first.
    while half.reply().await.is_some() {}
    let mut body = Wire::open(&running).await;
    body.send(&raw("content-length: 10\r\n", "{")).await;
    body.reply().await.expect("an answer").expect(408, "request-timeout");
    assert!(body.closed().await);
    let mut kept = Wire::open(&running).await;
    kept.send(&Ask::new("GET", "/livez").bytes()).await;
    assert_eq!(kept.reply().await.expect("an answer").status, 200);
    assert!(kept.closed().await, "an idle connection ends like a slow one");
}

#[tokio::test]
async fn too_many_connections_are_closed_and_room_comes_back() {
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let running = start_with(GatewayConfig { limits, ..config() }, Scripted::new(&[])).await;
    let ask = Ask::new("GET", "/livez").bytes();
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::open(&running).await;
        wire.send(&ask).await;
        assert_eq!(wire.reply().await.expect("an answer").status, 200);
        open.push(wire);
    }
    let mut third = Wire::open(&running).await;
    third.send(&ask).await;
    assert!(third.reply().await.is_none(), "closed without an answer");
    open.pop();
    loop {
        let mut again = Wire::open(&running).await;
        again.send(&ask).await;
        if again.reply().await.is_some() {
            break;
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let limits = Limits { connections_per_address: 2, in_hand_bytes: 16 * 1024, ..Limits::default() };
    let kafka = Scripted::new(&[Fate::NeverHeardOf, Fate::NeverHeardOf]);
    let running = start_with(GatewayConfig { limits, ..config() }, kafka).await;
    let body = Value::from(vec![event("a"); 8]).to_string();
    let ask = Ask::publish("application/cloudevents-batch+json", body).bytes();
    for cut in (0..ask.len()).step_by(97).chain([ask.len()]) {
        // Refused until the connection before was noticed to be gone.
        loop {
            let mut wire = Wire::open(&running).await;
            wire.send(&ask[..cut]).await;
            wire.stream.shutdown().await.ok();
            if wire.reply().await.is_some() || cut < ask.len() {
                break;
            }
        }
    }
    let again = Ask::batch(&[event("a")]);
    loop {
        let mut wire = Wire::open(&running).await;
        wire.send(&again.bytes()).await;
        if wire.reply().await.is_some_and(|reply| reply.status == 202) {
            break;
        }
    }
}

#[tokio::test]
async fn no_altered_request_publishes_anything_else_or_stops_the_gateway() {
    let running = start().await;
    let good = Ask::structured(&event("a")).bytes();
    let seed: u64 = rand::random();
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..dice.random_range(1..4) {
            let at = dice.random_range(0..bytes.len());
            match dice.random_range(0..4) {
                0 => bytes[at] = dice.random(),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, *b"\r\n\0 :,;\x80".choose(&mut dice).expect("some")),
                _ => drop(bytes.drain(at..(at + 40).min(bytes.len()))),
            }
        }
        // Nothing follows: a request that was cut short waits for no more.
        let mut wire = Wire::open(&running).await;
        wire.send(&bytes).await;
        wire.stream.shutdown().await.ok();
        let before = running.kafka.published().len();
        let mut stored = 0;
        while let Some(reply) = wire.reply().await {
            let known = [100, 202, 400, 401, 403, 404, 405, 408, 413, 414, 415, 422, 429, 431, 501, 505];
            assert!(known.contains(&reply.status), "seed {seed}: {reply:?}");
            stored += usize::from(reply.status == 202);
        }
        assert_eq!(running.kafka.published().len() - before, stored, "seed {seed}: an answer for each event");
    }
    assert_eq!(Ask::structured(&event("a")).to(&running).await.status, 202);
}
