//! Cosignatures: a witness that did not answer is asked again although the log does not grow, and what it cosigned is kept.

use std::{
    slice,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use audit_log::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    keys::Purpose,
    witness::{AddCheckpoint, decide},
};
use chrono::{DurationRound as _, TimeDelta, Utc};
use sinks::log_store::{self, Kept, SigningStore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use topology::runtime::sign::{self, SignerConfig, WitnessAt};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

use super::tampering::{LOG, Logged};
use crate::support::{self, patience::Patience};

/// A process that signs until it is stopped.
struct Signer {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Signer {
    fn start(logged: &Logged, witness: &MockServer) -> Self {
        support::provide_cryptography();
        let config = SignerConfig {
            database_url: logged.url.clone(),
            keys: vec![logged.key.clone()],
            witnesses: vec![WitnessAt { url: witness.uri(), key: logged.witness.public(Purpose::Witness) }],
            client: reqwest::Client::new(),
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(sign::run(config, stop.clone()));
        Self { stop, running }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.expect("no panic");
    }
}

async fn witness(answer: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path("/add-checkpoint")).respond_with(answer).mount(&server).await;
    server
}

async fn requests(witness: &MockServer) -> usize {
    witness.received_requests().await.expect("recorded").len()
}

async fn await_requests(witness: &MockServer, count: usize) {
    let mut patience = Patience::of(Duration::from_mins(1));
    while requests(witness).await < count {
        patience.check(requests(witness).await, count);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The notes of a log's checkpoints.
async fn notes(logged: &mut Logged) -> Vec<String> {
    sqlx::query_scalar("SELECT note FROM audit_checkpoint ORDER BY size")
        .fetch_all(&mut logged.connection)
        .await
        .expect("rows")
}

/// A log that does not grow, and whose checkpoint no witness has cosigned.
async fn quiet() -> Logged {
    let mut logged = Logged::new().await;
    let note = logged.checkpoint.sign(slice::from_ref(&logged.key)).expect("signed");
    sqlx::query("UPDATE audit_checkpoint SET note = $1")
        .bind(note)
        .execute(&mut logged.connection)
        .await
        .expect("as the server's owner");
    logged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cosignature_that_was_missed_is_made_up_for_on_a_quiet_log() {
    let mut logged = quiet().await;
    let (key, keys) = (logged.witness.clone(), [logged.key.public(Purpose::Log)]);
    let asked = AtomicUsize::new(0);
    let witness = witness(move |request| {
        if asked.fetch_add(1, Ordering::Relaxed) == 0 {
            return ResponseTemplate::new(503);
        }
        let body = str::from_utf8(&request.body).expect("text");
        let request = AddCheckpoint::parse(body).expect("a request");
        let signed = decide(&request, &keys, None).expect("the first");
        ResponseTemplate::new(200).set_body_string(signed.cosign(&key, 1_800_000_000).expect("cosigned"))
    })
    .await;
    let signer = Signer::start(&logged, &witness);
    await_requests(&witness, 2).await;
    let public = logged.witness.public(Purpose::Witness);
    let mut patience = Patience::of(Duration::from_mins(1));
    loop {
        let found = notes(&mut logged).await;
        assert_eq!(found.len(), 1, "nothing was signed anew");
        if SignedCheckpoint::parse(&found[0]).is_ok_and(|signed| signed.cosigned(&public).is_ok()) {
            break;
        }
        patience.check(found, "a cosignature");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    signer.stop().await;
    assert_eq!(requests(&witness).await, 2, "and who has cosigned is asked no more");
    let report = log_store::verify(&logged.url, &logged.trust(), &Kept::default()).await.expect("readable");
    assert!(report.ok && report.uncovered.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signer_that_begins_anew_asks_the_witness_that_disagreed() {
    let logged = quiet().await;
    let witness = witness(|_| ResponseTemplate::new(422)).await;
    for count in [1, 2] {
        let signer = Signer::start(&logged, &witness);
        await_requests(&witness, count).await;
        signer.stop().await;
    }
}

#[tokio::test]
async fn of_a_minute_the_newest_checkpoint_stays_and_those_with_more_signatures() {
    let mut logged = Logged::new().await;
    let mut store = SigningStore::claim(&logged.url).await.expect("connected").expect("nobody else signs");
    let minute =
        (Utc::now() - TimeDelta::minutes(5)).duration_trunc(TimeDelta::minutes(1)).expect("a minute");
    let mut at = minute;
    for (size, is_cosigned) in [(100, false), (150, true), (200, false), (250, false)] {
        let note = logged.cosigned(size);
        let checkpoint = SignedCheckpoint::parse(&note).expect("a note").checkpoint;
        let own = checkpoint.sign(slice::from_ref(&logged.key)).expect("signed");
        store.store(LOG, &checkpoint, if is_cosigned { &note } else { &own }, at).await.expect("stored");
        at += TimeDelta::seconds(1);
    }
    let sizes: Vec<u64> = notes(&mut logged)
        .await
        .iter()
        .map(|note| SignedCheckpoint::parse(note).expect("a note").checkpoint)
        .map(|Checkpoint { size, .. }| size)
        .collect();
    assert_eq!(sizes, [150, 250, 290]);
}
