//! HTTP/2 over TLS: the same limits, by streams.

use axum::body::Bytes;
use h2::{Reason, client};
use http::Request;

use super::*;

type Sender = client::SendRequest<Bytes>;

/// A connection and its driver, which ends when the connection does.
async fn connect(
    secured: &Secured,
    server: &Running,
    window: u32,
) -> (Sender, JoinHandle<Result<(), h2::Error>>) {
    let stream = secured.shake(server.address, &["h2"]).await.expect("a handshake");
    let mut builder = client::Builder::new();
    builder.initial_window_size(window);
    let (sender, connection) = builder.handshake(stream).await.expect("a preface");
    (sender, tokio::spawn(connection))
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).expect("a request")
}

/// The status and the body of the answer.
async fn ask(sender: &Sender, request: Request<()>) -> Result<(http::response::Parts, String), h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let (answer, _) = sender.send_request(request, true)?;
    let (parts, mut body) = answer.await?.into_parts();
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        text.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok((parts, String::from_utf8(text).expect("text")))
}

const WINDOW: u32 = 64 * 1024 - 1;

#[tokio::test]
async fn requests_are_answered_side_by_side() {
    let secured = secured();
    let server = secured.start(ConnectionLimits::default()).await;
    let (sender, _driver) = connect(&secured, &server, WINDOW).await;
    let slow = tokio::spawn({
        let sender = sender.clone();
        async move { ask(&sender, get("/slow")).await }
    });
    server.entered.notified().await;
    let (parts, body) = ask(&sender, get("/peer")).await.expect("an answer");
    assert_eq!((parts.status.as_u16(), body.as_str()), (200, "127.0.0.1"));
    assert_eq!(parts.headers["strict-transport-security"], "max-age=31536000");
    let (_, large) = ask(&sender, get("/large")).await.expect("an answer");
    assert_eq!(large.len(), 1 << 20);
    server.finish.notify_one();
    assert_eq!(slow.await.expect("no panic").expect("an answer").1, "slow");
}

#[tokio::test]
async fn bodies_arrive_and_an_oversize_one_ends_its_stream_only() {
    let secured = secured();
    let server = secured.start(ConnectionLimits::default()).await;
    let (sender, _driver) = connect(&secured, &server, WINDOW).await;
    for (size, answer) in [(300_000, "300000"), ((1 << 20) + 1, "length limit exceeded")] {
        let mut ready = sender.clone().ready().await.expect("open");
        let request = Request::post("https://localhost/count").body(()).expect("a request");
        let (answered, mut body) = ready.send_request(request, false).expect("sent");
        let mut left = size;
        while left > 0 {
            body.reserve_capacity(left);
            let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else { break };
            let piece = room.min(left);
            left -= piece;
            if body.send_data(Bytes::from(vec![b'x'; piece]), left == 0).is_err() {
                break;
            }
        }
        let mut text = answered.await.expect("an answer").into_body();
        let text = text.data().await.expect("a body").expect("whole");
        assert_eq!(text, answer);
    }
    assert_eq!(ask(&sender, get("/")).await.expect("the connection lives").1, "ok");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_answered_431_and_disturbs_no_other_stream() {
    let secured = secured();
    let server = secured.start(ConnectionLimits::default()).await;
    let (sender, _driver) = connect(&secured, &server, WINDOW).await;
    let mut long = get("/");
    long.headers_mut().insert("x", "y".repeat(100 * 1024).parse().expect("a value"));
    let (parts, _) = ask(&sender, long).await.expect("an answer");
    assert_eq!(parts.status.as_u16(), 431);
    assert_eq!(ask(&sender, get("/")).await.expect("the connection lives").1, "ok");
}

#[tokio::test]
async fn an_idle_connection_is_told_goaway() {
    let secured = secured();
    let limits = ConnectionLimits { head: SOON, ..ConnectionLimits::default() };
    let server = secured.start(limits).await;
    let (sender, driver) = connect(&secured, &server, WINDOW).await;
    assert_eq!(ask(&sender, get("/")).await.expect("an answer").1, "ok");
    // The client acknowledges and the connection ends without an error.
    timeout(HANGING, driver).await.expect("it ends").expect("no panic").expect("GOAWAY, NO_ERROR");
    let late = ask(&sender, get("/")).await.expect_err("no further request");
    assert!(late.is_go_away() || late.is_io() || late.reason() == Some(Reason::NO_ERROR), "{late}");
}

#[tokio::test]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let secured = secured();
    let limits = ConnectionLimits { write: SOON, ..ConnectionLimits::default() };
    let server = secured.start(limits).await;
    // The client's window is shut from the beginning, while it answers every ping.
    let (sender, driver) = connect(&secured, &server, 0).await;
    let mut sender = sender.ready().await.expect("open");
    let (answer, _) = sender.send_request(get("/large"), true).expect("sent");
    let answer = answer.await.expect("the head needs no window");
    let ended = timeout(HANGING, driver).await.expect("it ends").expect("no panic");
    ended.expect_err("cut off");
    drop(answer);
}

#[tokio::test]
async fn more_streams_than_allowed_wait_or_are_refused() {
    let secured = secured();
    let server = secured.start(ConnectionLimits { streams: 1, ..ConnectionLimits::default() }).await;
    let (sender, _driver) = connect(&secured, &server, WINDOW).await;
    assert_eq!(ask(&sender, get("/")).await.expect("settings have arrived").1, "ok");
    assert_eq!(sender.current_max_send_streams(), 1);
}

#[tokio::test]
async fn stopping_answers_what_is_in_hand_and_a_client_that_goes_ends_its_requests() {
    let secured = secured();
    let server = secured.start(ConnectionLimits::default()).await;
    let (sender, driver) = connect(&secured, &server, WINDOW).await;
    let gone = tokio::spawn(async move { ask(&sender, get("/slow")).await });
    server.entered.notified().await;
    driver.abort();
    gone.await.expect("no panic").expect_err("the connection is gone");
    let (sender, driver) = connect(&secured, &server, WINDOW).await;
    let slow = tokio::spawn(async move { ask(&sender, get("/slow")).await });
    server.entered.notified().await;
    server.stop.cancel();
    // Both handlers would need this if the first one still ran.
    server.finish.notify_one();
    assert_eq!(slow.await.expect("no panic").expect("answered").1, "slow");
    timeout(HANGING, driver).await.expect("it ends").expect("no panic").expect("GOAWAY, NO_ERROR");
    timeout(HANGING, server.ended).await.expect("nothing is left").expect("no panic");
}

#[tokio::test]
async fn a_client_that_only_begins_and_resets_is_sent_away() {
    let secured = secured();
    let server = secured.start(ConnectionLimits::default()).await;
    let (sender, driver) = connect(&secured, &server, WINDOW).await;
    let flood = tokio::spawn(async move {
        // Ends when the connection does.
        while let Ok(mut ready) = sender.clone().ready().await {
            let Ok((_, mut stream)) = ready.send_request(get("/slow"), true) else { break };
            stream.send_reset(Reason::CANCEL);
            // The connection is driven by turns with this.
            tokio::task::yield_now().await;
        }
    });
    let ended = timeout(HANGING, driver).await.expect("it is not served for ever").expect("no panic");
    let why = ended.expect_err("sent away");
    // The word itself (ENHANCE_YOUR_CALM) may be lost behind what the client still sends.
    assert!(why.is_remote() || why.is_io(), "{why}");
    timeout(HANGING, flood).await.expect("it ends").expect("no panic");
    let (other, _driver) = connect(&secured, &server, WINDOW).await;
    assert_eq!(ask(&other, get("/")).await.expect("others are served").1, "ok");
}
