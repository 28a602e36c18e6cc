//! Owners that overlap, stall and give up, and answers that get lost: each record is still applied once.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use sinks::{
    Claim, DeliveryError, Sink,
    log_store::{HandoverReceiver, handover},
    postgres::PostgresSink,
    read_models::audit_entry::AuditEntries,
};
use sqlx::Executor;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    cancelled::given_up_after,
    fixture::{Place, apply, batch_of, claim, config, counts, entry, sink},
};
use crate::support;

/// Every move of a position, as the database saw it.
const WITNESS: &str = "
    CREATE TABLE applied_range (nth bigserial, old bigint, new bigint, epoch bigint);
    CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      INSERT INTO applied_range (old, new, epoch) VALUES (old.position, new.position, new.owner_epoch);
      RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER UPDATE ON stage_position FOR EACH ROW
      WHEN (old.position <> new.position) EXECUTE FUNCTION witness();";

const RECORDS: i64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn ranges_tile_whatever_the_owners_do() {
    let mut place = Place::new().await;
    place.owner.execute(WITNESS).await.expect("a witness");
    let seed: u64 = rand::random();
    let owners: Vec<_> = (0..3).map(|owner| tokio::spawn(own(place.url.clone(), seed + owner))).collect();
    for owner in owners {
        owner.await.unwrap_or_else(|panic| panic!("seed {seed}: {panic}"));
    }
    assert_eq!(place.rows().await, (RECORDS, RECORDS), "seed {seed}");
    assert_eq!(place.stored().await, (RECORDS, [RECORDS, 0, 0, 0]), "seed {seed}");
    let broken = "SELECT count(*) FROM (SELECT old, epoch, lag(new, 1, 0::bigint) OVER w AS before,
                         lag(epoch, 1, 0::bigint) OVER w AS epoch_before
                    FROM applied_range WINDOW w AS (ORDER BY nth)) AS r
        WHERE old <> before OR epoch < epoch_before";
    assert_eq!(place.number(broken).await, 0, "seed {seed}: ranges tile and epochs never fall");
}

/// Claims, delivers, is fenced, gives up half-way and tries again, until everything is applied.
async fn own(url: String, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut sink = sink(&url, "owner");
    loop {
        let Ok(mut held) = try_claim(&mut sink).await else { continue };
        while held.position < RECORDS && random.random_bool(0.9) {
            let size = random.random_range(1..90).min(RECORDS - held.position);
            let events = held.position..held.position + size;
            let batch = batch_of(&held, apply(events.map(|n| entry(u64::try_from(n).expect("small")))));
            let polls = if random.random_bool(0.3) { random.random_range(1..9) } else { usize::MAX };
            let settled = match given_up_after(polls, sink.deliver(&batch)).await {
                Some(settled) => settled,
                None => sink.deliver(&batch).await,
            };
            match settled {
                Ok(settled) => {
                    assert_eq!(counts(&settled), [size, 0, 0, 0]);
                    held.position += size;
                }
                Err(DeliveryError::Fenced) => break,
                // A lock of somebody else's: the same batch again, from where we are.
                Err(DeliveryError::Interrupted(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if held.position >= RECORDS {
            return;
        }
    }
}

async fn try_claim(sink: &mut PostgresSink<AuditEntries>) -> Result<Claim, DeliveryError> {
    let request = sinks::ClaimRequest { partition: super::partition(0), low: 0, partitions: None };
    Ok(sink.claim(&[request]).await?.remove(0))
}

/// Treatment of a COMMIT by the proxy between sink and server.
const PASS: u8 = 0;
const LOSE_ANSWER: u8 = 1;
const LOSE_COMMIT: u8 = 2;
/// The same for a statement that moves positions: of a small batch there is only one.
const LOSE_ANSWER_OF_STATEMENT: u8 = 3;
const LOSE_STATEMENT: u8 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_counts_once() {
    let mut place = Place::new().await;
    let fate = Arc::new(AtomicU8::new(PASS));
    let url = through_proxy(&place.url, Arc::clone(&fate)).await;
    let mut far = sink(&url, "far");
    let mut expected = [0, 0];
    for (round, lost) in [LOSE_ANSWER, LOSE_COMMIT, LOSE_ANSWER].into_iter().enumerate() {
        let first = u64::try_from(round).expect("small") * 100;
        let held = claim(&mut far, 0).await;
        let clean = batch_of(&held, apply((first..first + 80).map(entry)));
        fate.store(lost, Ordering::SeqCst);
        let error = far.deliver(&clean).await.expect_err("the answer is lost");
        assert!(matches!(error, DeliveryError::Interrupted(_)), "{error:?}");
        fate.store(PASS, Ordering::SeqCst);
        assert_eq!(counts(&far.deliver(&clean).await.expect("delivered")), [80, 0, 0, 0]);

        // Counts that only the lost transaction knew are told too.
        let held = claim(&mut far, 0).await;
        let dirty = batch_of(&held, apply((first + 70..first + 100).map(entry)));
        fate.store(lost, Ordering::SeqCst);
        assert!(far.deliver(&dirty).await.is_err());
        fate.store(PASS, Ordering::SeqCst);
        assert_eq!(counts(&far.deliver(&dirty).await.expect("delivered")), [20, 10, 0, 0]);
        expected = [expected[0] + 100, expected[1] + 10];
        assert_eq!(place.stored().await, (expected[0] + expected[1], [expected[0], expected[1], 0, 0]));
        assert_eq!(place.rows().await, (expected[0], expected[0]));
    }
}

/// Small batches commit by their only statement. The follower of the log gets no entry that the log does not hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_batch_whose_answer_is_lost_counts_once() {
    let mut place = Place::new().await;
    let fate = Arc::new(AtomicU8::new(PASS));
    let url = through_proxy(&place.url, Arc::clone(&fate)).await;
    let (sender, mut handed) = handover();
    let model = AuditEntries::new(support::subject_secret()).expect("zstd").handing_over(Some(sender));
    let mut far = PostgresSink::new(config(&url, "far"), model);
    let fates = [LOSE_ANSWER_OF_STATEMENT, LOSE_STATEMENT, LOSE_ANSWER_OF_STATEMENT];
    for (lost, first) in fates.into_iter().zip((0_u64..).step_by(6)) {
        let held = claim(&mut far, 0).await;
        let batch = batch_of(&held, apply((first..first + 3).map(entry)));
        fate.store(lost, Ordering::SeqCst);
        let error = far.deliver(&batch).await.expect_err("the answer is lost");
        assert!(matches!(error, DeliveryError::Interrupted(_)), "{error:?}");
        fate.store(PASS, Ordering::SeqCst);
        assert_eq!(counts(&far.deliver(&batch).await.expect("delivered")), [3, 0, 0, 0]);
        let rows = i64::try_from(first).expect("small") + 3;
        assert_eq!((place.rows().await, place.stored().await), ((rows, rows), (rows, [rows, 0, 0, 0])));
        let given = indices(&mut handed);
        assert!(given.iter().all(|index| *index < first + 3), "the log has {rows} entries: {given:?}");

        let held = claim(&mut far, 0).await;
        let next = batch_of(&held, apply((first + 3..first + 6).map(entry)));
        assert_eq!(counts(&far.deliver(&next).await.expect("delivered")), [3, 0, 0, 0]);
        assert_eq!(indices(&mut handed), [first + 3, first + 4, first + 5]);
    }
}

/// Indices of the entries that were handed over since the last time.
fn indices(handed: &mut HandoverReceiver) -> Vec<u64> {
    let mut indices = Vec::new();
    while let Some(appended) = handed.try_recv() {
        indices.extend(appended.entries.iter().map(|entry| entry.index));
    }
    indices
}

/// A listener before the database that does to COMMITs what `fate` says; the URL to reach it by.
async fn through_proxy(url: &str, fate: Arc<AtomicU8>) -> String {
    use std::str::FromStr;
    let options = sqlx::postgres::PgConnectOptions::from_str(url).expect("a URL");
    let upstream = format!("{}:{}", options.get_host(), options.get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.expect("the server takes connections");
            tokio::spawn(relay(client, server, Arc::clone(&fate)));
        }
    });
    let options = options.host("127.0.0.1").port(port).ssl_mode(sqlx::postgres::PgSslMode::Disable);
    sqlx::ConnectOptions::to_url_lossy(&options).to_string()
}

/// Passes bytes both ways until one side closes, or a COMMIT is lost; then both sides are cut.
async fn relay(mut client: TcpStream, mut server: TcpStream, fate: Arc<AtomicU8>) {
    let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                // A simple query: 'Q', its length, the text, a zero. It is sent alone.
                let commit = up[..length].ends_with(b"COMMIT\0");
                // Bind, Execute and Sync are sent together. Only a batch has the fingerprint of a record.
                let print = |bytes: &[u8]| bytes[0] != 0 && bytes.iter().all(|byte| *byte == bytes[0]);
                let statement = up[..length].starts_with(b"B") && up[..length].windows(32).any(print);
                let fate = match fate.load(Ordering::SeqCst) {
                    fate @ (LOSE_ANSWER | LOSE_COMMIT) if commit => fate,
                    fate @ (LOSE_ANSWER_OF_STATEMENT | LOSE_STATEMENT) if statement => fate,
                    _ => PASS,
                };
                let forwarded = !matches!(fate, LOSE_COMMIT | LOSE_STATEMENT);
                if forwarded && server.write_all(&up[..length]).await.is_err() {
                    return;
                }
                if matches!(fate, LOSE_ANSWER | LOSE_ANSWER_OF_STATEMENT) {
                    // It is committed once the server has answered.
                    drop(server.read(&mut down).await);
                }
                if fate != PASS {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
