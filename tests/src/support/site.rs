//! A place to run stages: servers of one test's own, with topics and tables.

use std::{
    num::NonZeroU32,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use ::stack::{Endpoints, Stack, StackConfig, Tethered};
use chrono::TimeDelta;
use producers::{
    generate::{self, Generator, GeneratorConfig, Rate, RunSummary},
    kafka::{Producer, ProducerConfig, Purpose, Tally},
    registry::{Registry, RegistryConfig},
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use schemas::{Envelope, TenantId, Timestamp, Topic, codec::Framing};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use topology::{pipeline, runtime};

use super::{SUBJECT_SECRET, patience::Patience};

/// Runs a command to its end.
pub(crate) async fn ended(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || command.output().expect("the command starts"));
    output.await.expect("no panic")
}

/// Servers of one test's own, with topics and tables.
pub(crate) struct Site {
    pub(crate) endpoints: Endpoints,
    pub(crate) registry: Option<Arc<Registry>>,
    pub(crate) producer: Producer,
    /// The end of what the generator plays, so that a seed means the same events again.
    now: Timestamp,
    pub(crate) stack: Tethered,
    home: tempfile::TempDir,
}

impl Site {
    /// Servers without a registry: records name their schema by its fingerprint.
    pub(crate) async fn new() -> Self {
        Self::start(|config| config).await
    }

    /// Servers with a schema registry that knows our schemas: records name theirs by its ids.
    pub(crate) async fn with_registry() -> Self {
        Self::start(StackConfig::with_registry).await
    }

    async fn start(configure: impl FnOnce(StackConfig) -> StackConfig) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let config = configure(StackConfig::private(home.path()).expect("a place for the servers"));
        let stack = Stack::new(config).tethered();
        let endpoints = stack.up().await.expect("servers");
        sinks::postgres::create_database(&endpoints.maintenance_url, "weir").await.expect("a database");
        sinks::postgres::migrate(&endpoints.database_url).await.expect("migrations");
        runtime::offline::admin::apply(&pipeline::declaration(), &endpoints.kafka, &[].into())
            .await
            .expect("topics");
        let config = ProducerConfig {
            bootstrap: endpoints.kafka.clone(),
            purpose: Purpose::Bulk,
            client_id: "test".into(),
            extra: [].into(),
        };
        let registry = endpoints.registry.as_ref().map(|url| {
            Arc::new(Registry::new(RegistryConfig::new(url, None)).expect("a client of the registry"))
        });
        let framing = match &registry {
            Some(registry) => Framing::Confluent(registry.register().await.expect("schemas are registered")),
            None => Framing::SingleObject,
        };
        let producer = Producer::new(&config, framing).expect("a producer");
        let now = Timestamp::from(std::time::SystemTime::now());
        Self { endpoints, registry, producer, now, stack, home }
    }

    /// The command as its users run it, beside this site's servers.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-under-test"));
        command
            .args(args)
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.endpoints.kafka)
            .env("DATABASE_URL", &self.endpoints.database_url)
            .env("WEIR_HOME", self.home.path())
            .env("WEIR_TENANT", "demo")
            .env("WEIR_AUDIT__SUBJECT_SECRET", SUBJECT_SECRET)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Publishes what commands and stages leave for a gateway, as a gateway does, until it is dropped.
    pub(crate) fn gateway(&self) -> DropGuard {
        let (stop, publisher) = (CancellationToken::new(), Arc::new(self.producer.clone()));
        let url = self.endpoints.database_url.clone();
        tokio::spawn(runtime::trail::publish(url, publisher, stop.clone()));
        stop.drop_guard()
    }

    /// The end of what is published: two days ago, so that its days are over at whatever time a test runs.
    fn past(&self) -> Timestamp {
        self.now - TimeDelta::days(2)
    }

    /// An event of the activity family; always the same one.
    pub(crate) fn some_event(&self) -> Envelope {
        let config = GeneratorConfig::ending_at(self.past(), 1_000, TenantId::new("acme").expect("valid"));
        let mut events = Generator::new(1, config);
        events.find(|event| event.event.topic() == Topic::Activity).expect("most of them")
    }

    /// Publishes so many events of a tenant and returns when all are acknowledged.
    pub(crate) async fn publish(&self, seed: u64, tenant: &str, events: usize) {
        let tenant = TenantId::new(tenant).expect("valid");
        let config = GeneratorConfig::ending_at(self.past(), events as u64, tenant);
        let tally = Arc::new(Tally::default());
        for event in Generator::new(seed, config).take(events) {
            self.producer.send_tallied(&event, &tally).await.expect("room in the queue");
        }
        tally.settled().await;
        assert_eq!((tally.acknowledged(), tally.failed()), (events as u64, 0));
    }

    /// Writes a record as it is into partition 0, without Weir's producer, and returns when it is acknowledged.
    pub(crate) async fn send_raw(&self, topic: Topic, value: Option<&[u8]>, headers: &[(&str, &str)]) {
        let raw: FutureProducer =
            ClientConfig::new().set("bootstrap.servers", &self.endpoints.kafka).create().expect("a producer");
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let record = FutureRecord::<str, [u8]> {
            topic: topic.name(),
            partition: Some(0),
            payload: value,
            key: None,
            timestamp: None,
            headers: Some(headers),
        };
        raw.send(record, Duration::from_secs(5)).await.expect("acknowledged");
    }

    /// Deletes a partition's records up to an offset, as a topic's retention does.
    pub(crate) async fn forget_records(&self, topic: Topic, partition: i32, end: Offset) {
        let mut config = ClientConfig::new();
        let admin: AdminClient<DefaultClientContext> =
            config.set("bootstrap.servers", &self.endpoints.kafka).create().expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic.name(), partition, end).expect("valid");
        let left = admin.delete_records(&list, &AdminOptions::new()).await.expect("deleted");
        left.elements()[0].error().expect("deleted");
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let mut connection =
            PgConnection::connect(&self.endpoints.database_url).await.expect("Postgres answers");
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("a count")
    }

    pub(crate) async fn await_count(&self, sql: &'static str, expected: i64) {
        self.await_that(sql, &format!("not {expected}"), |count| count == expected).await;
    }

    /// Waits until a count is as it should be; `otherwise` says what it is not.
    pub(crate) async fn await_that(&self, sql: &'static str, otherwise: &str, holds: impl Fn(i64) -> bool) {
        let mut patience = Patience::of(Duration::from_mins(1));
        loop {
            let count = self.count(sql).await;
            if holds(count) {
                return;
            }
            assert!(!patience.is_over(count), "{sql}: {count}, {otherwise}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Begins to publish so many events at a rate, and goes on while the test does other things.
    pub(crate) fn flow(&self, events: u64, per_second: u64) -> Flow {
        let producer = self.producer.clone();
        let config = GeneratorConfig::ending_at(self.past(), events, TenantId::new("acme").expect("valid"));
        let rate =
            u32::try_from(per_second).ok().and_then(NonZeroU32::new).map_or(Rate::Unlimited, Rate::PerSecond);
        Flow(tokio::spawn(async move {
            let events = Generator::new(1, config).take(usize::try_from(events).expect("a count"));
            generate::run(events, rate, &producer, &CancellationToken::new(), |_| {}).await
        }))
    }
}

/// Events on their way.
pub(crate) struct Flow(JoinHandle<Result<RunSummary, generate::RunError>>);

impl Flow {
    /// Waits until all of them are acknowledged.
    pub(crate) async fn published(self, events: u64) {
        let summary = self.0.await.expect("no panic").expect("every event is acknowledged in the end");
        assert_eq!(summary.published, events);
    }
}
