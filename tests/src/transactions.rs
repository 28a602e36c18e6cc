//! Producers with transactions: only what is committed is applied, and the markers leave no lag behind.

use std::time::Duration;

use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use schemas::{
    Envelope, Topic,
    codec::{Framing, encode},
};

use crate::support::{
    CAUGHT_UP,
    site::{Site, ended},
};

const ROWS: &str = "SELECT count(*) FROM audit_entry";
const MOVED: &str = "SELECT coalesce(sum(position), 0)::bigint FROM stage_position";
const SETTLED: &str =
    "SELECT coalesce(sum(applied + duplicate + ignored + parked), 0)::bigint FROM stage_position";
const HELD_BACK: &str =
    "SELECT position FROM stage_position WHERE topic = 'weir.activity.v1' AND partition = 0";
const PATIENCE: Duration = Duration::from_secs(20);

/// End of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    Abort,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_at_the_end_of_a_log_leave_no_lag() {
    let site = Site::new().await;
    // A log of which nobody is ever to see a record: the stage meets it first.
    transaction(&site, (1, 3), End::Abort).await;
    let stage = site.run(1);
    stage.ready().await;
    caught_up(&site).await;
    assert_eq!((site.count(MOVED).await, site.count(SETTLED).await), (3 + 1, 0));

    // Behind a record, while the stage reads.
    transaction(&site, (0, 5), End::Commit).await;
    site.await_count(ROWS, 1).await;
    caught_up(&site).await;
    transaction(&site, (0, 2), End::Abort).await;
    caught_up(&site).await;
    assert_eq!((site.count(MOVED).await, site.count(SETTLED).await), (4 + 6 + 3, 5));

    // And by a stage that begins behind them.
    stage.stop().await;
    transaction(&site, (0, 4), End::Abort).await;
    transaction(&site, (2, 1), End::Commit).await;
    let stage = site.run(1);
    caught_up(&site).await;
    assert_eq!((site.count(MOVED).await, site.count(SETTLED).await), (13 + 5 + 2, 6));
    let recognisable = "SELECT count(*) FROM stage_position WHERE last_offset = 4 AND position = 14";
    assert_eq!(site.count(recognisable).await, 1, "the last record is still known by its print");

    // Behind the markers the next record is just the next record.
    transaction(&site, (0, 1), End::Commit).await;
    caught_up(&site).await;
    assert_eq!(site.count(SETTLED).await, 7);
    stage.stop().await;
    assert_eq!(site.count("SELECT count(*) FROM stage_position WHERE halted IS NOT NULL").await, 0);
}

/// A transaction that stays open holds its own partition back, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_holds_nobody_else_back() {
    let site = Site::new().await;
    let stage = site.run(1);
    stage.ready().await;
    let (opened, is_open) = tokio::sync::oneshot::channel();
    let (end, ended) = std::sync::mpsc::channel();
    let (kafka, event) = (site.endpoints.kafka.clone(), site.some_event());
    let open = tokio::task::spawn_blocking(move || {
        let producer = producer(&kafka, 0);
        producer.begin_transaction().expect("begun");
        send(&producer, &event, (0, 1));
        opened.send(()).expect("awaited");
        ended.recv().expect("told");
        producer.commit_transaction(PATIENCE).expect("committed");
    });
    is_open.await.expect("open");
    transaction(&site, (1, 2), End::Commit).await;
    site.await_count(SETTLED, 2).await;
    // Committed, but behind the open one.
    transaction(&site, (0, 3), End::Commit).await;
    transaction(&site, (2, 1), End::Commit).await;
    site.await_count(SETTLED, 3).await;
    assert_eq!(site.count(HELD_BACK).await, 0);
    end.send(()).expect("heard");
    open.await.expect("no panic");
    caught_up(&site).await;
    assert_eq!((site.count(SETTLED).await, site.count(ROWS).await), (7, 1), "all of one event");
    stage.stop().await;
}

/// `weir lag --wait` returns, and says 0.
pub(crate) async fn caught_up(site: &Site) {
    let args = [&CAUGHT_UP[..], &["--stage", "audit", "--output", "json"]].concat();
    let output = ended(site.command(&args)).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["stages"][0]["lag"], 0, "{told}");
}

/// So many records on one partition of activity in a transaction; all of them the same event.
async fn transaction(site: &Site, (partition, records): (i32, usize), end: End) {
    let (kafka, event) = (site.endpoints.kafka.clone(), site.some_event());
    let done = tokio::task::spawn_blocking(move || {
        let producer = producer(&kafka, 1);
        producer.begin_transaction().expect("begun");
        send(&producer, &event, (partition, records));
        match end {
            End::Commit => producer.commit_transaction(PATIENCE).expect("committed"),
            End::Abort => producer.abort_transaction(PATIENCE).expect("aborted"),
        }
    });
    done.await.expect("no panic");
}

/// A producer with transactions; whoever has its number next fences it.
fn producer(kafka: &str, number: i32) -> BaseProducer {
    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("transactional.id", format!("test-{number}"))
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("ready");
    producer
}

/// Sends the event so many times, and returns when the broker has it.
fn send(producer: &BaseProducer, event: &Envelope, (partition, records): (i32, usize)) {
    let encoded = encode(event, &Framing::SingleObject);
    for _ in 0..records {
        let headers = encoded.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let record = BaseRecord::to(Topic::Activity.name())
            .partition(partition)
            .key(&encoded.key)
            .payload(&encoded.value)
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
    }
    producer.flush(PATIENCE).expect("sent");
}
