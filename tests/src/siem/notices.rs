//! Notifications and syslog over TLS on real servers: a finding is told when it opens and when it is resolved, each once; frames
//! arrive whole over a connection whose certificate is believed; a record that is too large arrives in parts and verifies.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use schemas::{
    Envelope, Event, Native,
    events::{Actor, ActorKind, Governance, GovernanceKind},
};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{
    delivery::Bench,
    receiver::{Answer, Receiver},
};
use crate::{risk::trail_stopped, support::provide_cryptography};

/// Entries before the sinks run: what Ada did, a large record, a decision.
const FEW: i64 = 7;
/// Entries that a sink has not delivered; decisions about sinks are entries too, and come in meanwhile.
const NOT_COPIED: &str = "SELECT (SELECT count(*) FROM audit_entry) - coalesce(sum(applied), 0)::bigint
                            FROM stage_position WHERE stage = 'sink.small'";
const NOT_LATE: &str = "SELECT (SELECT count(*) FROM audit_entry) - coalesce(sum(applied), 0)::bigint
                          FROM stage_position WHERE stage = 'sink.late'";
const ENTRIES: &str = "SELECT count(*) FROM audit_entry";
const ADA: &str = "arn:aws:iam::111122223333:user/ada";

/// Messages of a receiver of syslog, without their frames.
#[derive(Clone, Default)]
struct Frames(Arc<Mutex<Vec<String>>>);

impl Frames {
    /// Listens with a certificate of its own, which is written to the folder; the port.
    async fn listen(&self, folder: &Path) -> u16 {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(folder.join("syslog.crt"), cert.pem()).expect("written");
        let stranger = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(folder.join("stranger.crt"), stranger.cert.pem()).expect("written");
        let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        provide_cryptography();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![cert.der().clone()], key).expect("they fit");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("localhost:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let frames = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, frames) = (acceptor.clone(), frames.clone());
                tokio::spawn(async move {
                    // Whoever does not believe the certificate ends the handshake.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        frames.read(BufReader::new(stream)).await;
                    }
                });
            }
        });
        port
    }

    /// Reads octet-counted frames (RFC 6587, 3.4.1) until the connection ends.
    async fn read(&self, mut stream: impl tokio::io::AsyncBufRead + Unpin) {
        loop {
            let mut count = Vec::new();
            if stream.read_until(b' ', &mut count).await.unwrap_or(0) == 0 {
                return;
            }
            let count = std::str::from_utf8(&count).expect("digits").trim_end().parse().expect("a length");
            let mut message = vec![0; count];
            if stream.read_exact(&mut message).await.is_err() {
                return;
            }
            let message = String::from_utf8(message).expect("UTF-8");
            assert!(message.starts_with('<') && message.contains(">1 "), "{message}");
            self.0.lock().expect("held briefly").push(message);
        }
    }

    /// Of each message the id of its record, and which part of it the message is, if it is one.
    fn ids(&self) -> Vec<(String, Option<u64>)> {
        let messages = self.0.lock().expect("held briefly");
        let id = |message: &String| {
            let record = &message[message.find('{').expect("a record")..];
            let record: Value = serde_json::from_str(record).expect("JSON");
            let part = record.pointer("/unmapped/raw_data_part/number").and_then(Value::as_u64);
            (record["metadata"]["uid"].as_str().expect("an id").to_owned(), part)
        };
        messages.iter().map(id).collect()
    }
}

/// Waits for a condition that has no row.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The n-th decision of Grace.
fn decided(
    n: u32,
    (kind, decision): (GovernanceKind, &str),
    (subject_kind, subject_id): (&str, &str),
) -> Envelope {
    let mut envelope = trail_stopped(500 + n);
    envelope.native = None;
    envelope.occurred_at = "2026-03-02T09:00:00Z".parse().expect("a time");
    envelope.event = Event::Governance(Governance {
        kind,
        subject_kind: subject_kind.into(),
        subject_id: subject_id.into(),
        actor: Actor { kind: ActorKind::User, id: "grace".into(), ..Actor::default() },
        decision: Some(decision.into()),
        reason: Some("a drill".into()),
        expires_at: None,
        attributes: [("entity_kind", "user"), ("entity", ADA)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    });
    envelope
}

/// An event whose native record fits into no message of the sink `small`.
fn large() -> Envelope {
    let mut envelope = trail_stopped(400);
    let record = json!({ "eventName": "PutRule", "text": "\"é\n".repeat(9_000) }).to_string();
    envelope.native = Some(Native { format: "example.large".into(), record: record.as_str().into() });
    envelope
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finding_is_told_when_it_opens_and_when_it_is_resolved() {
    let (slack, told) = (Receiver::start().await, Arc::new(Mutex::new(Vec::<String>::new())));
    slack.plays({
        let told = Arc::clone(&told);
        let mut requests = 0;
        move |request| {
            requests += 1;
            if requests == 1 {
                return Answer::json(500, "no_service");
            }
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            told.lock().expect("held briefly").push(body["text"].as_str().expect("a text").to_owned());
            Answer::Http { status: 200, headers: Vec::new(), body: b"ok".to_vec() }
        }
    });
    let frames = Frames::default();
    let keys = tempfile::tempdir().expect("a folder");
    let port = frames.listen(keys.path()).await;
    let endpoint = format!("tls://localhost:{port}");
    let bench = Bench::new(|folder| {
        json!([
            { "name": "channel", "kind": "slack", "secret": format!("{}/services/T0/B0/x", slack.url),
              "allow_networks": ["127.0.0.1"], "linger_s": 0.2 },
            { "name": "syslog", "kind": "syslog", "endpoint": endpoint, "linger_s": 0.2,
              "ca_certificate": keys.path().join("syslog.crt") },
            { "name": "doubting", "kind": "syslog", "endpoint": endpoint, "linger_s": 0.2,
              "ca_certificate": keys.path().join("stranger.crt") },
            { "name": "small", "kind": "file", "endpoint": folder.join("small.ndjson"), "linger_s": 0.2,
              "max_record_bytes": 8_192 },
            { "name": "late", "kind": "file", "endpoint": folder.join("late.ndjson"), "linger_s": 0.2 },
        ])
    })
    .await;
    let _stages = bench.run(&["audit", "risk"]);
    let mut events: Vec<Envelope> = (0..5).map(trail_stopped).collect();
    events.extend([large(), decided(1, (GovernanceKind::CriticalitySet, "extreme"), ("user", ADA))]);
    bench.site.send(&events).await;
    bench.site.await_count(ENTRIES, FEW).await;
    bench.site.await_that(TOPIC, "the audit topic is behind", |entries| entries >= FEW).await;
    let (done, said) = bench.asked(&["sink", "start", "late", "--from", "now"]).await;
    assert!(done, "{said}");
    let _sinks = bench.run(&["sinks"]);

    until("the opened finding is told", || !told.lock().expect("held briefly").is_empty()).await;
    let incident: String = {
        let mut database =
            PgConnection::connect(&bench.site.endpoints.database_url).await.expect("Postgres answers");
        sqlx::query_scalar("SELECT id::text FROM incident")
            .fetch_one(&mut database)
            .await
            .expect("one incident")
    };
    let closing = Envelope {
        occurred_at: "2026-03-02T12:00:00Z".parse().expect("a time"),
        ..decided(2, (GovernanceKind::FindingTriaged, "closed"), ("incident", &incident))
    };
    bench.site.send(&[closing]).await;
    let resolved = || told.lock().expect("held briefly").iter().any(|text| text.contains("*Resolved:"));
    until("the resolved finding is told", resolved).await;
    {
        let told = told.lock().expect("held briefly");
        let of = |word: &str| told.iter().filter(|text| text.contains(word)).count();
        assert_eq!((of("*New:"), of("*Resolved:")), (1, 1), "each once: {told:?}");
        assert!(
            told[0].contains("*New:") && told.last().is_some_and(|last| last.contains("*Resolved:")),
            "{told:?}"
        );
    }

    over_tls(&bench, &frames).await;
    in_parts(&bench).await;
    begun_late(&bench).await;
}

const TOPIC: &str = "SELECT coalesce(sum(next_index), 0)::bigint FROM audit_topic_position";

/// Every entry has arrived over TLS, once; nothing goes to a receiver whose certificate is another's.
async fn over_tls(bench: &Bench, frames: &Frames) {
    let entries = usize::try_from(bench.site.count(ENTRIES).await).expect("positive");
    let whole = || frames.ids().into_iter().filter(|(_, part)| part.is_none()).count();
    until("all entries arrive over TLS", || whole() >= entries).await;
    let ids = frames.ids();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each once");
    assert!(ids.iter().any(|(_, part)| part.is_some()), "the large record comes in parts here too");
    let doubting = bench.state("doubting", "refused").await;
    assert!(doubting["why"].as_str().is_some_and(|why| why.contains("certificate is refused")), "{doubting}");
    assert_eq!((&doubting["delivered"], &doubting["parked"]), (&json!(0), &json!(0)));
}

/// The large record has arrived in parts, and the copy proves that nothing is missing.
async fn in_parts(bench: &Bench) {
    bench.site.await_count(NOT_COPIED, 0).await;
    let entries = bench.site.count(ENTRIES).await;
    let file = bench.path("small.ndjson");
    let text = std::fs::read_to_string(&file).expect("text");
    assert!(text.lines().all(|line| line.len() <= 8_192) && text.contains("raw_data_part\""));
    let (ok, report) = bench.verified(&file).await;
    assert!(ok, "{report}");
    assert!(report["ok"] == true && report["entries"].as_i64() >= Some(entries), "{report}");
}

/// The sink that began late has what came after its start alone, and cannot be started a second time.
async fn begun_late(bench: &Bench) {
    bench.site.await_count(NOT_LATE, FEW).await;
    let text = std::fs::read_to_string(bench.path("late.ndjson")).expect("text");
    assert!(text.contains(":closed\"") || text.contains("a drill"), "the closing came later");
    assert!(!text.contains("StopLogging"), "what Ada did came before");
    let (done, said) = bench.asked(&["sink", "start", "late", "--from", "beginning"]).await;
    assert!(!done && said.contains("has begun already"), "{said}");
}
