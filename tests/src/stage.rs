//! Stages on real servers: from the topics to rows, through restarts, rebalances and bad records.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use producers::{
    generate::{Generator, GeneratorConfig},
    kafka::{Producer, ProducerConfig, Purpose, Tally},
};
use schemas::{TenantId, Timestamp, Topic, codec::Framing};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use topology::{
    pipeline,
    runtime::{self, Health, RunConfig, RunError},
    stack::{Endpoints, Stack, StackConfig, Tethered},
};

/// Servers of one test's own, with topics and tables.
struct Site {
    endpoints: Endpoints,
    producer: Producer,
    /// The end of what the generator plays, so that a seed means the same events again.
    now: Timestamp,
    _stack: Tethered,
    _home: tempfile::TempDir,
}

/// A stage at work.
struct Running {
    stop: CancellationToken,
    health: Health,
    task: JoinHandle<Result<(), RunError>>,
}

impl Site {
    async fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let config = StackConfig::private(home.path()).expect("a place for the servers");
        let stack = Stack::new(config).tethered();
        let endpoints = stack.up().await.expect("servers");
        sinks::postgres::create_database(&endpoints.maintenance_url, "weir").await.expect("a database");
        sinks::postgres::migrate(&endpoints.database_url).await.expect("migrations");
        let topology = pipeline::declaration();
        runtime::admin::apply(&topology, &endpoints.kafka, &[].into()).await.expect("topics");
        let config = ProducerConfig {
            bootstrap: endpoints.kafka.clone(),
            purpose: Purpose::Bulk,
            client_id: "test".into(),
            extra: [].into(),
        };
        let producer = Producer::new(&config, Framing::SingleObject).expect("a producer");
        let now = Timestamp::from(std::time::SystemTime::now());
        Self { endpoints, producer, now, _stack: stack, _home: home }
    }

    fn run_config(&self) -> RunConfig {
        RunConfig::new(&self.endpoints.kafka, &self.endpoints.database_url)
    }

    fn run(&self, members: usize) -> Running {
        let (stop, health) = (CancellationToken::new(), Health::default());
        let config = RunConfig { members: NonZeroUsize::new(members).expect("some"), ..self.run_config() };
        let (told, seen) = (stop.clone(), health.clone());
        let task = tokio::spawn(async move {
            runtime::run(&pipeline::declaration(), &["audit".to_owned()], config, seen, told).await
        });
        Running { stop, health, task }
    }

    /// Publishes so many events of a tenant and returns when all are acknowledged.
    async fn publish(&self, seed: u64, tenant: &str, events: usize) {
        let tenant = TenantId::new(tenant).expect("valid");
        let config = GeneratorConfig::ending_at(self.now, events as u64, tenant);
        let tally = Arc::new(Tally::default());
        for event in Generator::new(seed, config).take(events) {
            self.producer.send_tallied(&event, &tally).await.expect("room in the queue");
        }
        tally.settled().await;
        assert_eq!((tally.acknowledged(), tally.failed()), (events as u64, 0));
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let mut connection =
            PgConnection::connect(&self.endpoints.database_url).await.expect("Postgres answers");
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("a count")
    }

    async fn await_count(&self, sql: &'static str, expected: i64) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let count = self.count(sql).await;
            if count == expected {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{sql}: {count} instead of {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Running {
    async fn ready(&self) {
        while !self.health.is_ready() {
            assert!(!self.task.is_finished(), "the stage ended before it was ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        let stopped = tokio::time::timeout(Duration::from_secs(25), self.task).await;
        stopped.expect("within 25 s").expect("no panic").expect("a stage that can go on");
    }
}

const ROWS: &str = "SELECT count(*) FROM audit_entry";
const IDS: &str = "SELECT count(DISTINCT (tenant_id, event_id)) FROM audit_entry";
const APPLIED: &str = "SELECT coalesce(sum(applied), 0)::bigint FROM stage_position";
const DUPLICATES: &str = "SELECT coalesce(sum(duplicate), 0)::bigint FROM stage_position";
const PARKED: &str = "SELECT count(*) FROM parked_record";
const OUTBOX: &str = "SELECT count(*) FROM outbox";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_become_rows_once_whatever_the_members_do() {
    let site = Site::new().await;
    site.publish(1, "acme", 5_000).await;

    // A backlog, then a restart in the middle of the next.
    let stage = site.run(1);
    stage.ready().await;
    site.await_count(ROWS, 5_000).await;
    site.publish(2, "acme", 5_000).await;
    stage.stop().await;
    let stage = site.run(1);
    site.await_count(APPLIED, 10_000).await;

    // The same events again are duplicates, by two more members that take partitions over.
    let others = site.run(2);
    site.publish(1, "acme", 5_000).await;
    others.ready().await;
    site.await_count(DUPLICATES, 5_000).await;
    site.publish(3, "other", 3_000).await;
    stage.stop().await;
    site.await_count(APPLIED, 13_000).await;
    others.stop().await;

    assert_eq!((site.count(ROWS).await, site.count(IDS).await), (13_000, 13_000));
    assert_eq!(site.count(PARKED).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_are_parked_and_leave_as_dead_letters() {
    use rdkafka::producer::{FutureProducer, FutureRecord};
    let site = Site::new().await;
    let raw: FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &site.endpoints.kafka)
        .create()
        .expect("a producer");
    site.publish(1, "acme", 100).await;
    let bad: [Option<&[u8]>; 4] = [Some(b""), Some(b"\x00\x00"), Some(b"nonsense"), None];
    for value in bad {
        let record = FutureRecord::<str, [u8]> {
            topic: Topic::Activity.name(),
            partition: Some(0),
            payload: value,
            key: None,
            timestamp: None,
            headers: None,
        };
        raw.send(record, Duration::from_secs(5)).await.expect("acknowledged");
    }
    site.publish(2, "acme", 100).await;
    let stage = site.run(1);
    site.await_count(ROWS, 200).await;
    site.await_count(PARKED, 3).await;
    site.await_count("SELECT coalesce(sum(ignored), 0)::bigint FROM stage_position", 1).await;
    site.await_count(OUTBOX, 0).await;
    stage.stop().await;
    let letters = dead_letters(&site.endpoints.kafka, 3).await;
    assert!(
        letters.iter().all(|(stage, offset)| stage == "audit" && offset.parse::<i64>().is_ok()),
        "{letters:?}"
    );
}

/// Stage and offset in the headers of so many dead letters.
async fn dead_letters(bootstrap: &str, expected: usize) -> Vec<(String, String)> {
    use rdkafka::{
        Message, Offset, TopicPartitionList,
        consumer::{BaseConsumer, Consumer},
        message::Headers,
    };
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "test-reader")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(Topic::DeadLetter.name(), 0, Offset::Beginning).expect("valid");
    consumer.assign(&list).expect("assigned");
    tokio::task::spawn_blocking(move || {
        let mut letters = Vec::new();
        while letters.len() < expected {
            let message = consumer.poll(Duration::from_secs(10)).expect("a dead letter").expect("readable");
            let headers = message.headers().expect("headers");
            let header = |name: &str| {
                let found = headers.iter().find(|header| header.key == name).and_then(|header| header.value);
                String::from_utf8(found.expect(name).to_vec()).expect("text")
            };
            letters.push((header("__weir.errors.stage"), header("__weir.errors.offset")));
        }
        letters
    })
    .await
    .expect("no panic")
}
