//! One tenant attacks, another asks as always.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{Connection, Executor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::fixture::{Api, entry};

/// Requests of the neighbour meanwhile.
const LOOKS: usize = 20;

/// Asks as the neighbour, some times in a row; every answer must be good.
async fn neighbour_is_answered(api: &Api, path: &str) {
    for _ in 0..LOOKS {
        let (status, body) = api.ask("other", path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
    }
}

/// Locks the audit log for one tenant's questions only: whoever reads a row of acme's waits.
async fn make_acme_slow(api: &mut Api) {
    api.owner
        .execute(
            "CREATE FUNCTION slow(tenant text) RETURNS boolean LANGUAGE plpgsql AS $$
             BEGIN IF tenant = 'acme' THEN PERFORM pg_sleep(1); END IF; RETURN true; END $$;
             CREATE POLICY slowly ON audit_entry AS RESTRICTIVE FOR SELECT TO weir_reader USING (slow(tenant_id))",
        )
        .await
        .expect("made slow");
}

#[tokio::test]
async fn slow_questions_of_one_tenant_leave_connections_for_the_others_and_for_the_probe() {
    let mut api = Api::start().await;
    let mut foreign = entry(1, "Read");
    foreign.tenant = "other";
    api.insert(&foreign).await;
    for n in 0..4 {
        api.insert(&entry(n, "Own")).await;
    }
    make_acme_slow(&mut api).await;
    let attack: Vec<_> = (0..50)
        .map(|_| {
            let request = api.request("acme", "/api/v1/audit?text=nothing");
            tokio::spawn(async move { request.send().await.expect("answered") })
        })
        .collect();
    neighbour_is_answered(&api, "/api/v1/audit?limit=1").await;
    assert_eq!(api.ask("acme", "/readyz").await.0, StatusCode::OK);
    let mut refused = 0;
    for answer in attack {
        let answer = answer.await.expect("no panic");
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers().contains_key("retry-after"));
            let problem: Value = answer.json().await.expect("a problem");
            assert_eq!(problem["type"], "/problems/quota-exceeded");
            refused += 1;
        }
    }
    assert!(refused > 0, "whoever attacks is refused");
}

#[tokio::test]
async fn reads_that_wait_leave_room_for_the_others() {
    let mut api = Api::start().await;
    api.set_position("audit", 0, 7).await;
    let never = "/api/v1/audit?min_position=weir.activity.v1/0:99";
    let attack: Vec<_> = (0..64)
        .map(|_| {
            let request = api.request("acme", never);
            tokio::spawn(async move { request.send().await.expect("answered").status() })
        })
        .collect();
    neighbour_is_answered(&api, "/api/v1/audit?min_position=weir.activity.v1/0:7").await;
    assert_eq!(api.ask("acme", "/readyz").await.0, StatusCode::OK);
    let statuses: Vec<_> =
        join_all(attack).await.into_iter().map(|status| status.expect("no panic")).collect();
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
}

/// Asks for a large page over a connection that holds next to nothing, and reads the beginning of its first line.
async fn ask_and_leave_unread(api: &Api) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2_048).expect("a small buffer");
    let address = api.url.trim_start_matches("http://").parse().expect("an address");
    let mut stream = socket.connect(address).await.expect("it listens");
    let token = &api.tokens["acme"];
    let request = format!(
        "GET /api/v1/audit?include=record HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.expect("an answer");
    (stream, String::from_utf8_lossy(&line).into_owned())
}

#[tokio::test]
async fn answers_that_are_not_taken_are_bounded_and_leave_room_for_the_others() {
    let mut api = Api::start().await;
    let mut foreign = entry(1, "Read");
    foreign.tenant = "other";
    api.insert(&foreign).await;
    let mut large = entry(0, "Large");
    for n in 0..6 {
        large = super::fixture::Entry {
            event_id: uuid::Uuid::new_v4(),
            record: serde_json::json!({ "note": format!("{n}{}", "x".repeat(900_000)) }),
            ..large
        };
        api.insert(&large).await;
    }
    let whole: sinks::query_api::AuditPage = api.get("acme", "/api/v1/audit?include=record").await;
    assert!(whole.items.len() < 6, "a page of records ends early: {}", whole.items.len());
    assert!(whole.next_cursor.is_some());
    // Answers are asked for, and of each the first line is read, no more.
    let (mut unread, mut refused) = (Vec::new(), 0);
    for _ in 0..40 {
        let (stream, line) = ask_and_leave_unread(&api).await;
        match line.as_str() {
            "HTTP/1.1 200" => unread.push(stream),
            "HTTP/1.1 429" => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(refused > 0, "{} answers lie unread", unread.len());
    neighbour_is_answered(&api, "/api/v1/audit?include=record").await;
    drop(unread);
    // What hangs up gives back what it held.
    while api.ask("acme", "/api/v1/audit?include=record").await.0 == StatusCode::TOO_MANY_REQUESTS {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn database_time_is_a_budget() {
    let mut api =
        Api::start_with(|shares| shares.database_seconds_per_minute = std::num::NonZeroU32::MIN).await;
    api.insert(&entry(1, "Own")).await;
    make_acme_slow(&mut api).await;
    assert_eq!(api.ask("acme", "/api/v1/audit").await.0, StatusCode::OK, "the first is charged afterwards");
    assert_eq!(api.refused("acme", "/api/v1/audit").await, "quota-exceeded");
    neighbour_is_answered(&api, "/api/v1/audit").await;
    api.owner.ping().await.expect("the database is there");
}
