//! Stages on real servers: from the topics to rows, through restarts, rebalances and bad records.

use std::{num::NonZeroUsize, time::Duration};

use schemas::Topic;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use topology::{
    pipeline,
    runtime::{self, Health, RunConfig, RunError},
    topology::Topology,
};

use crate::support::{self, site::Site};

/// A stage at work.
pub(crate) struct Running {
    stop: CancellationToken,
    health: Health,
    task: JoinHandle<Result<(), RunError>>,
}

impl Site {
    pub(crate) fn run_config(&self) -> RunConfig {
        RunConfig {
            registry: self.registry.clone(),
            subject_secret: Some(support::subject_secret()),
            ..RunConfig::new(&self.endpoints.kafka, &self.endpoints.database_url)
        }
    }

    pub(crate) fn run(&self, members: usize) -> Running {
        self.run_stages(&["audit"], members)
    }

    pub(crate) fn run_stages(&self, names: &[&str], members: usize) -> Running {
        let members = NonZeroUsize::new(members).expect("some");
        Running::start(names, RunConfig { members, ..self.run_config() })
    }
}

impl Running {
    /// Runs stages of the pipeline in this process.
    pub(crate) fn start(names: &[&str], config: RunConfig) -> Self {
        Self::start_of(pipeline::declaration(), names, config)
    }

    /// Runs stages of a topology in this process.
    pub(crate) fn start_of(topology: Topology, names: &[&str], config: RunConfig) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (stop, health) = (CancellationToken::new(), Health::default());
        let (told, seen) = (stop.clone(), health.clone());
        let task = tokio::spawn(async move { runtime::run(&topology, &names, config, seen, told).await });
        Self { stop, health, task }
    }

    pub(crate) async fn ready(&self) {
        while !self.health.is_ready() {
            assert!(!self.task.is_finished(), "the stage ended before it was ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn stop(self) {
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
async fn records_framed_by_a_registry_become_rows_and_unknown_ids_are_parked() {
    let site = Site::with_registry().await;
    site.publish(1, "acme", 500).await;
    let stage = site.run(1);
    site.await_count(ROWS, 500).await;
    let unknown = [0x00, 0x7f, 0xff, 0xff, 0xff, 0x00];
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", "0192f0c1-2345-7abc-8def-0123456789ab"),
        ("ce_source", "/test"),
        ("ce_type", "io.weir.activity.api_called.v1"),
        ("ce_time", "2026-01-05T08:00:00Z"),
        ("ce_tenantid", "acme"),
        ("content-type", "application/avro"),
    ];
    site.send_raw(Topic::Activity, Some(&unknown), &headers).await;
    site.publish(2, "acme", 500).await;
    site.await_count(ROWS, 1_000).await;
    site.await_count("SELECT count(*) FROM parked_record WHERE reason = 'schema_unknown'", 1).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_are_parked_and_leave_as_dead_letters() {
    let site = Site::new().await;
    site.publish(1, "acme", 100).await;
    let bad: [Option<&[u8]>; 4] = [Some(b""), Some(b"\x00\x00"), Some(b"nonsense"), None];
    for value in bad {
        site.send_raw(Topic::Activity, value, &[]).await;
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
