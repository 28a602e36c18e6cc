//! The local stack, with the real servers.

use ::stack::{Data, Endpoints, ServerState, Stack, StackConfig, StackError};
use producers::registry::{Registry, RegistryConfig, RegistryError};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use schemas::codec::SchemaRef;
use sqlx::migrate::MigrateDatabase;
use sqlx::{Connection, PgConnection, Row};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::support::assert_private;

const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the database takes connections")
}

async fn publish(kafka: &str, topic: &str, value: &str) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("enable.idempotence", "true")
        .create()
        .expect("a producer");
    let record = FutureRecord::<(), str>::to(topic).payload(value);
    producer.send(record, PATIENCE).await.map_err(|(error, _)| error).expect("acknowledged");
}

fn records_in(kafka: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", kafka).create().expect("a consumer");
    let (low, high) = consumer.fetch_watermarks(topic, 0, PATIENCE).expect("watermarks");
    high - low
}

async fn create_topic(kafka: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka).create().expect("an admin client");
    let topics = [NewTopic::new(topic, 1, TopicReplication::Fixed(1))];
    let outcomes = admin.create_topics(&topics, &AdminOptions::new()).await.expect("asked");
    for outcome in outcomes {
        outcome.map_err(|(_, code)| code).expect("created");
    }
}

/// One private stack through everything that can happen to it; one test, since each start costs seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_stack_keeps_its_data_over_crashes_and_is_shared_by_concurrent_starters() {
    let home = tempfile::tempdir().expect("a folder");
    let config = StackConfig::private(home.path()).expect("a place for the servers");
    let stack = Stack::new(config.clone()).tethered();

    let starters = futures_util::future::join_all((0..4).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { Stack::new(config).up().await.expect("up") })
    }));
    let mut endpoints: Vec<Endpoints> =
        starters.await.into_iter().map(|outcome| outcome.expect("a starter ended")).collect();
    endpoints.dedup();
    assert_eq!(endpoints.len(), 1, "every starter reached the same servers: {endpoints:?}");
    let endpoints = endpoints.remove(0);

    assert_private(home.path());
    let password = endpoints.database_url.split(['@', ':']).nth(2).expect("a password");
    let without = endpoints.maintenance_url.replace(&format!(":{password}"), "");
    assert!(PgConnection::connect(&without).await.is_err(), "other users of the machine have no password");

    create_topic(&endpoints.kafka, "kept").await;
    publish(&endpoints.kafka, "kept", "before").await;
    sqlx::Postgres::create_database(&endpoints.database_url).await.expect("the pipeline's database");
    let mut rows = connect(&endpoints.database_url).await;
    sqlx::query("create table kept (value text)").execute(&mut rows).await.expect("created");
    sqlx::query("insert into kept values ('before')").execute(&mut rows).await.expect("inserted");

    stack.crash_postgres().await.expect("crashed");
    stack.kill_kafka().await.expect("killed");
    let states: Vec<ServerState> =
        stack.status().await.expect("status").into_iter().map(|server| server.state).collect();
    assert_eq!(states, [ServerState::Stopped, ServerState::Stopped]);
    assert!(matches!(stack.joined().await, Err(StackError::Vanished { .. })));
    sqlx::query("select 1").execute(&mut rows).await.expect_err("the session is gone");

    assert_eq!(stack.up().await.expect("up again"), endpoints, "on the same ports");
    check_kept(&endpoints).await;

    assert!(stack.down(Data::Keep).await.expect("down"));
    assert!(!stack.down(Data::Keep).await.expect("down twice is no error"));
    assert_eq!(stack.up().await.expect("up after down"), endpoints, "on the same ports");
    check_kept(&endpoints).await;

    stack.down(Data::Purge).await.expect("purged");
    assert_eq!(stack.status().await.expect("status"), [], "nothing is known after a purge");
    assert!(!home.path().join("kafka").exists());
}

/// Without a broker of its own a stack starts within a second.
fn without_kafka(home: &Path) -> StackConfig {
    let config = StackConfig::private(home).expect("a place for the servers");
    config.with_kafka("127.0.0.1:1".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_data_folder_is_said_and_kept() {
    let home = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .expect("a folder that every user may pass");
    let stack = Stack::new(without_kafka(home.path())).tethered();
    stack.up().await.expect("up");
    stack.down(Data::Keep).await.expect("down");
    let data = home.path().join("postgres/server/data");
    std::fs::remove_file(data.join("PG_VERSION")).expect("damaged");

    let error = stack.up().await.expect_err("not whole").to_string();
    assert!(error.contains("no PG_VERSION") && error.contains("weir down --purge"), "{error}");
    assert!(data.join("base").is_dir(), "what may be data stays");

    stack.down(Data::Purge).await.expect("purged");
    stack.up().await.expect("a new folder");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "whoever runs the tests should see what was not run")]
async fn an_installed_postgresql_serves_as_the_pinned_one_does() {
    let installed = Path::new("/usr/lib/postgresql/15/bin");
    if !installed.join("initdb").is_file() {
        eprintln!("skipped: no PostgreSQL 15 is installed in {}", installed.display());
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let mut config = without_kafka(home.path());
    config.postgres_bin = Some(installed.to_owned());
    let stack = Stack::new(config).tethered();
    let endpoints = stack.up().await.expect("up");
    assert_eq!(server_version(&mut connect(&endpoints.maintenance_url).await).await / 10_000, 15);

    stack.down(Data::Keep).await.expect("down");
    let pinned = Stack::new(without_kafka(home.path()));
    let error = pinned.up().await.expect_err("its data is of another version").to_string();
    assert!(error.contains("made by PostgreSQL 15, the programs are of 18"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_started_where_it_is_asked_for() {
    let home = tempfile::tempdir().expect("a folder");
    let mut config = without_kafka(home.path()).with_registry();
    config.named.database_url = Some("postgres://127.0.0.1:1/none".to_owned());
    let stack = Stack::new(config).tethered();
    let url = stack.up().await.expect("up").registry.expect("a registry");
    assert!(url.ends_with("/apis/ccompat/v7"), "{url}");
    let servers = stack.status().await.expect("status");
    assert!(
        matches!(servers.as_slice(), [only] if matches!(only.state, ServerState::Answering { .. })),
        "{servers:?}"
    );

    // It takes our schemas and finds them again by the ids that it gave.
    let registry = Registry::new(RegistryConfig::new(url, None)).expect("a client");
    let ids = registry.register().await.expect("registered");
    for (topic, id) in ids.iter() {
        assert_eq!(registry.fetch(SchemaRef::Id(id)).await.expect("found again").topic(), topic);
    }
    assert!(matches!(registry.fetch(SchemaRef::Id(2_000_000_000)).await, Err(RegistryError::Unknown(_))));
}

async fn check_kept(endpoints: &Endpoints) {
    assert_eq!(records_in(&endpoints.kafka, "kept"), 1);
    let mut rows = connect(&endpoints.database_url).await;
    let count: i64 =
        sqlx::query("select count(*) from kept").fetch_one(&mut rows).await.expect("counted").get(0);
    assert_eq!(count, 1);
    assert!(server_version(&mut rows).await >= 150_000);
}

async fn server_version(session: &mut PgConnection) -> i32 {
    let asked = sqlx::query("select current_setting('server_version_num')::int").fetch_one(session);
    asked.await.expect("asked").get(0)
}
