//! The processes of the compose file, each as its own user, on one event's way.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::fixture::{Cluster, User};
use crate::support::provide_cryptography;

const PATIENCE: Duration = Duration::from_mins(2);

/// A process of the pipeline; killed when dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.spawn().expect("it starts"))
    }

    /// Asks it to stop, and waits until it has.
    fn stop(mut self) {
        let id = Pid::from_raw(i32::try_from(self.0.id()).expect("a pid"));
        kill(id, Signal::SIGTERM).expect("told");
        let status = tokio::task::block_in_place(|| self.0.wait()).expect("reaped");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An address that is free now.
fn address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

fn ok(mut command: Command) -> String {
    let output = tokio::task::block_in_place(|| command.output()).expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told} {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).expect("text")
}

/// Records of a topic, counted by somebody who may do everything.
fn records(cluster: &Cluster, topic: &str) -> i64 {
    let consumer: BaseConsumer = cluster.client(User("broker")).create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
    let partitions = metadata.topics()[0].partitions();
    let ends = partitions
        .iter()
        .map(|partition| consumer.fetch_watermarks(topic, partition.id(), PATIENCE).expect("watermarks").1);
    ends.sum()
}

async fn await_that(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// An event; `action` tells two of one id apart.
fn event(id: &str, action: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/test", "type": "io.weir.activity.api_called.v1",
           "time": "2026-01-02T03:04:05Z", "data": {"action": action, "actor": {"id": "mara"}}})
}

struct Client {
    http: reqwest::Client,
    token: String,
}

impl Client {
    async fn post(&self, gateway: &str, event: &Value) -> u16 {
        let request = self
            .http
            .post(format!("http://{gateway}/api/v1/events"))
            .bearer_auth(&self.token)
            .header("content-type", "application/cloudevents+json")
            .body(event.to_string());
        request.send().await.map_or(0, |answer| answer.status().as_u16())
    }

    async fn pipeline(&self, query_api: &str) -> Option<Value> {
        let url = format!("http://{query_api}/api/v1/pipeline");
        let answer = self.http.get(url).bearer_auth(&self.token).send().await.ok()?;
        answer.json().await.ok()
    }
}

pub(super) async fn each_process_does_its_work(cluster: &Cluster) {
    ok(cluster.command_of("setup", &["topology", "apply"]));
    let scopes = ["--scope", "events:write", "--scope", "read", "--output", "json"];
    let made =
        ok(cluster.command_of("setup", &[&["key", "create", "--tenant", "acme"][..], &scopes].concat()));
    let made: Value = serde_json::from_str(&made).expect("JSON");
    provide_cryptography();
    let client =
        Client { http: reqwest::Client::new(), token: made["token"].as_str().expect("a token").into() };

    let (gateway_at, query_at) = (address(), address());
    let mut gateway = cluster.command_of("gateway", &["run", "gateway"]);
    gateway.env("WEIR_GATEWAY__LISTEN", &gateway_at).env("WEIR_GATEWAY__ADMIN_LISTEN", "127.0.0.1:0");
    let mut query = cluster.command_of("query-api", &["run", "query-api"]);
    query.env("WEIR_QUERY_API__LISTEN", &query_at).env("WEIR_QUERY_API__ADMIN_LISTEN", "127.0.0.1:0");
    let names = topology::pipeline::declaration().stage_names();
    let mut stages = cluster.command_of("audit", &[&["run"], &names[..]].concat());
    stages.env("WEIR_STAGE__ADMIN_LISTEN", "127.0.0.1:0");
    let running = [gateway, query, stages].map(Running::start);

    // In by the gateway, through every stage, onto the audit topic; the second of one id onto the dead
    // letters.
    await_that("the gateway takes an event", async || {
        client.post(&gateway_at, &event("1", "Read")).await == 202
    })
    .await;
    assert_eq!(client.post(&gateway_at, &event("1", "Write")).await, 202);
    let mut rows = PgConnection::connect(&cluster.endpoints.database_url).await.expect("Postgres");
    await_that("the event is a row", async || {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entry WHERE actor = 'mara'")
            .fetch_one(&mut rows)
            .await
            .expect("a count");
        count == 1
    })
    .await;
    for topic in ["weir.audit.v1", "weir.dead-letter.v1"] {
        await_that(topic, async || tokio::task::block_in_place(|| records(cluster, topic)) > 0).await;
    }
    await_that("the query API knows the lag of every stage", async || {
        let answer = client.pipeline(&query_at).await.unwrap_or_default();
        let stages = answer["stages"].as_array().cloned().unwrap_or_default();
        stages.len() == names.len() && stages.iter().all(|stage| stage["lag"] == 0)
    })
    .await;

    a_decision_reaches_the_audit_log(cluster, &mut rows).await;
    sinks_forward(cluster).await;
    ok(cluster.command_of("setup", &["generate", "--events", "5", "--tenant", "acme"]));
    let doctor = cluster.command_of("setup", &["doctor", "--output", "json"]);
    assert_eq!(verdict(doctor, "kafka access"), "ok");
    running.into_iter().for_each(Running::stop);

    // Somebody without rights is told which are missing.
    let sinks = cluster.command_as(User("weir_sinks"), &["doctor", "--output", "json"]);
    assert_eq!(verdict(sinks, "kafka access"), "problem");
}

/// Neither the operator's database login nor the stages may write events to Kafka: the gateway does.
async fn a_decision_reaches_the_audit_log(cluster: &Cluster, rows: &mut PgConnection) {
    let halted = "UPDATE stage_position SET halted = 'parking_limit'
                   WHERE stage = 'audit' AND topic = 'weir.activity.v1' AND partition = 0";
    let halted = sqlx::query(halted).execute(&mut *rows).await.expect("halted");
    assert_eq!(halted.rows_affected(), 1);
    let place = ["--topic", "weir.activity.v1", "--partition", "0", "--tenant", "acme"];
    ok(cluster.command_of("setup", &[&["stage", "resume", "audit"][..], &place].concat()));
    await_that("the decision is in the audit log", async || {
        let told = "SELECT count(*) FROM audit_entry WHERE action = 'ResumePartition' AND tenant_id = 'acme'";
        let told: i64 = sqlx::query_scalar(told).fetch_one(&mut *rows).await.expect("a count");
        told == 1
    })
    .await;
}

/// A sink for files, as `weir run sinks` forwards to it.
async fn sinks_forward(cluster: &Cluster) {
    let file = cluster.home.path().join("forwarded.ndjson");
    let settings = cluster.home.path().join("sinks.toml");
    let sink =
        format!("[[sink]]\nname = \"copy\"\nkind = \"file\"\nendpoint = {:?}\n", file.display().to_string());
    fs::write(&settings, sink).expect("written");
    let mut sinks = cluster.command_as(User("weir_sinks"), &["run", "sinks"]);
    sinks.env("WEIR_SIEM__SINKS_FILE", &settings).env("WEIR_STAGE__ADMIN_LISTEN", "127.0.0.1:0");
    let running = Running::start(sinks);
    await_that("the sink forwards", async || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("mara"))
    })
    .await;
    running.stop();
}

/// The worst that `weir doctor` says of a check.
fn verdict(mut doctor: Command, check: &str) -> String {
    let output = tokio::task::block_in_place(|| doctor.output()).expect("it starts");
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("{check}: {findings:#?}"))["verdict"]
        .as_str()
        .expect("a verdict")
        .to_owned()
}
