//! Sinks on a real Kafka and PostgreSQL: one that is dead holds up no other, kills lose nothing, a refused record is parked alone,
//! a new secret resumes a pause, and the copy that a sink has written verifies.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::receiver::{Answer, Receiver, Request};
use crate::support::site::Site;

const EVENTS: i64 = 3_000;
const KILLS: usize = 6;

/// Logs without a checkpoint.
const UNSIGNED: &str = "SELECT count(*) FROM audit_log AS l
                         WHERE NOT EXISTS (SELECT FROM audit_checkpoint AS c WHERE c.log = l.log)";

const COPY: &str = "SELECT coalesce(sum(applied), 0)::bigint FROM stage_position WHERE stage = 'sink.copy'";
const SPLUNK: &str =
    "SELECT coalesce(sum(applied), 0)::bigint FROM stage_position WHERE stage = 'sink.splunk'";
const DEAD: &str = "SELECT coalesce(sum(applied), 0)::bigint FROM stage_position WHERE stage = 'sink.dead'";
const HALTED: &str =
    "SELECT count(*) FROM stage_position WHERE stage = 'sink.copy' AND halted LIKE 'paused: %'";
const AGAIN: &str = "SELECT sum(applied)::bigint - (SELECT count(*) FROM audit_entry) FROM stage_position
                      WHERE stage = 'sink.copy'";
const PAUSE_IN_THE_LOG: &str =
    "SELECT count(*) FROM audit_entry WHERE tenant_id = 'demo' AND action = 'PauseSink'";
const RESUME_IN_THE_LOG: &str =
    "SELECT count(*) FROM audit_entry WHERE tenant_id = 'demo' AND action = 'ResumeSink'";
pub(super) const SETTLED: &str =
    "SELECT coalesce(sum(applied + parked), 0)::bigint FROM stage_position WHERE stage = 'sink.splunk'";
const PARKED: &str = "SELECT count(*) FROM parked_record WHERE stage = 'sink.splunk' AND reason = 'siem_refused' AND \
                          detail LIKE '%Invalid data format%'";

/// A deployment with a folder for its sinks.
pub(super) struct Bench {
    pub(super) site: Site,
    folder: tempfile::TempDir,
    signing_key: String,
}

/// A process that is killed when dropped.
pub(super) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Bench {
    pub(super) async fn new(sinks: impl FnOnce(&std::path::Path) -> Value) -> Self {
        let site = Site::new().await;
        let folder = tempfile::tempdir().expect("a folder");
        let mut sinks = json!({ "sink": sinks(folder.path()) });
        for sink in sinks["sink"].as_array_mut().expect("a list") {
            // Receivers of these tests count what they get.
            let members = sink.as_object_mut().expect("a table");
            members.entry("statement_s").or_insert_with(|| json!(0));
        }
        std::fs::write(folder.path().join("sinks.json"), sinks.to_string()).expect("written");
        let made = site.command(&["audit", "key", "--new", "audit.example.com"]).output().expect("it runs");
        let signing_key = String::from_utf8(made.stdout).expect("text").trim().to_owned();
        assert!(!signing_key.is_empty(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { site, folder, signing_key }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.site.command(args);
        command
            .env("WEIR_SIEM__SINKS_FILE", self.path("sinks.json"))
            .env("WEIR_AUDIT__SIGNING_KEY", &self.signing_key)
            .env("WEIR_STAGE__ADMIN_LISTEN", "127.0.0.1:0");
        command
    }

    /// Starts a process of roles.
    pub(super) fn run(&self, roles: &[&str]) -> Process {
        let mut command = self.command(&[&["run"], roles].concat());
        let level = std::env::var("WEIR_FAULT_LOG").unwrap_or_else(|_| "error".to_owned());
        command.env("RUST_LOG", level).env("WEIR_STAGE__GROUP_INSTANCE", roles.join("-"));
        Process(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("it starts"))
    }

    /// Runs a command to its end: whether it succeeded, and what it printed.
    pub(super) async fn asked(&self, args: &[&str]) -> (bool, String) {
        let mut command = self.command(args);
        let output =
            tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    /// Waits until each log has a checkpoint.
    pub(super) async fn signed(&self) {
        self.site.await_count(UNSIGNED, 0).await;
    }

    /// The report of `weir verify` on a SIEM's copy, under the newest checkpoint of each log. A record carries one only if it left
    /// some seconds after the log had begun.
    pub(super) async fn verified(&self, file: &Path) -> (bool, Value) {
        self.signed().await;
        let url = &self.site.endpoints.database_url;
        let mut connection = PgConnection::connect(url).await.expect("connected");
        let newest = "SELECT DISTINCT ON (log) note FROM audit_checkpoint ORDER BY log, size DESC";
        let notes: Vec<String> = sqlx::query_scalar(newest).fetch_all(&mut connection).await.expect("notes");
        let folder = tempfile::tempdir().expect("a folder");
        let mut args = ["verify", "--output", "json", "--siem", file.to_str().expect("text")]
            .map(ToOwned::to_owned)
            .to_vec();
        for (number, note) in notes.iter().enumerate() {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, note).expect("written");
            args.extend(["--checkpoint".to_owned(), path.display().to_string()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (ok, said) = self.asked(&args).await;
        let report = said.lines().find_map(|line| serde_json::from_str(line).ok());
        (ok, report.unwrap_or_else(|| panic!("{said}")))
    }

    /// The row of a sink in `weir sink list`.
    pub(super) async fn row(&self, sink: &str) -> Value {
        let (done, text) = self.asked(&["sink", "list", "--output", "json"]).await;
        assert!(done, "{text}");
        let rows: Vec<Value> = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        rows.into_iter().find(|row| row["name"] == sink).expect("the sink")
    }

    pub(super) async fn state(&self, sink: &str, state: &str) -> Value {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(2);
        loop {
            let row = self.row(sink).await;
            if row["state"] == state {
                return row;
            }
            assert!(tokio::time::Instant::now() < deadline, "{row} is not {state}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Records and requests that a receiver has accepted, in order.
#[derive(Default)]
struct Taken {
    records: Vec<Value>,
    requests: u64,
    /// Requests that were taken and whose answers were lost.
    lost: HashSet<String>,
}

pub(super) fn events(request: &Request) -> Vec<Value> {
    serde_json::Deserializer::from_slice(&request.body)
        .into_iter()
        .map(|event| event.expect("JSON"))
        .collect()
}

pub(super) fn id(event: &Value) -> String {
    event["fields"]["id"].as_str().expect("an id").to_owned()
}

/// First deliveries are in the order of each log, without a gap; answers how often a record came again.
fn whole_and_in_order(records: &[Value]) -> usize {
    let (mut next, mut seen, mut again) = (BTreeMap::<String, u64>::new(), HashSet::new(), 0);
    for event in records {
        if !seen.insert(id(event)) {
            again += 1;
            continue;
        }
        let place = &event["event"]["unmapped"]["record_integrity"];
        let expected = next.entry(place["log"].as_str().expect("a log").to_owned()).or_default();
        assert_eq!(place["index"], *expected, "the next entry of its log");
        *expected += 1;
    }
    assert_eq!(next.values().sum::<u64>(), u64::try_from(EVENTS).expect("positive"), "nothing is skipped");
    again
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_sink_holds_up_no_other_and_kills_lose_nothing() {
    let seed = rand::random::<u64>();
    let mut dice = StdRng::seed_from_u64(seed);
    let (splunk, taken) = (Receiver::start().await, Arc::new(Mutex::new(Taken::default())));
    splunk.plays({
        let taken = Arc::clone(&taken);
        move |request| {
            let mut taken = taken.lock().expect("held briefly");
            taken.requests += 1;
            if taken.requests % 11 == 3 {
                return Answer::json(503, r#"{"text":"Server is busy","code":9}"#);
            }
            let events = events(request);
            let lost = taken.requests % 13 == 5;
            if lost {
                taken.lost.extend(events.iter().map(id));
            }
            taken.records.extend(events);
            if lost { Answer::Reset } else { Answer::json(200, r#"{"text":"Success","code":0}"#) }
        }
    });
    // Nobody listens there until the dead one comes to life.
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let bench = Bench::new(|folder| {
        json!([
            { "name": "copy", "kind": "file", "endpoint": folder.join("copy.ndjson"), "linger_s": 0.2 },
            { "name": "splunk", "kind": "splunk_hec", "endpoint": splunk.url, "secret": "t", "acknowledgement": "off",
              "linger_s": 0.2 },
            { "name": "dead", "kind": "elasticsearch", "endpoint": format!("http://{reserved}"), "secret": "u:p",
              "index": "audit", "linger_s": 0.2 },
        ])
    })
    .await;
    let _audit = bench.run(&["audit"]);
    let mut sinks = bench.run(&["sinks"]);
    for kill in 0..KILLS {
        let part = usize::try_from(EVENTS).expect("positive") / KILLS;
        bench.site.publish(kill as u64, "acme", part).await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(200..2_500))).await;
        drop(std::mem::replace(&mut sinks, bench.run(&["sinks"])));
    }
    let caught_up = |count| count == EVENTS;
    bench.site.await_that(COPY, &format!("the copy is behind, seed {seed}"), caught_up).await;
    bench.site.await_that(SPLUNK, &format!("Splunk is behind, seed {seed}"), caught_up).await;
    let again = whole_and_in_order(&taken.lock().expect("held briefly").records);
    {
        let taken = taken.lock().expect("held briefly");
        assert!(again >= taken.lost.len() && !taken.lost.is_empty(), "{again} came again, seed {seed}");
        // What one move of the position covers for each kill, at most, beside those whose answers were lost.
        assert!(again <= taken.lost.len() + KILLS * 1_000, "{again} came again, seed {seed}");
    }

    let dead = bench.state("dead", "retrying").await;
    assert_eq!((&dead["kind"], &dead["delivered"]), (&json!("elasticsearch"), &json!(0)));
    // The ends of transactions count as well until somebody has passed them.
    assert!(dead["lag"].as_i64().is_some_and(|lag| lag >= EVENTS), "{dead}");
    assert!(dead["oldest_undelivered_s"].as_f64().is_some_and(|age| age > 0.0), "{dead}");
    let copy = bench.row("copy").await;
    assert_eq!(
        (&copy["state"], &copy["delivered"], &copy["lag"]),
        (&json!("delivering"), &json!(EVENTS), &json!(0))
    );
    assert_eq!(copy["oldest_undelivered_s"], 0.0);

    let file = bench.path("copy.ndjson");
    let (ok, report) = bench.verified(&file).await;
    assert!(ok, "{report}");
    assert_eq!((&report["ok"], &report["entries"]), (&json!(true), &json!(EVENTS)), "{report}");

    comes_to_life(&bench, reserved, sinks).await;
}

/// The dead sink's receiver starts: it gets every record, each once, for a second `create` changes nothing.
async fn comes_to_life(bench: &Bench, at: std::net::SocketAddr, sinks: Process) {
    let elastic = Receiver::on(tokio::net::TcpListener::bind(at).await.expect("the port is still free"));
    let documents = Arc::new(Mutex::new(BTreeMap::<String, Value>::new()));
    elastic.plays({
        let documents = Arc::clone(&documents);
        move |request| {
            let mut documents = documents.lock().expect("held briefly");
            let lines: Vec<Value> = request
                .body
                .split(|byte| *byte == b'\n')
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect();
            let items = lines.chunks(2).map(|pair| {
                let id = pair[0]["create"]["_id"].as_str().expect("an id").to_owned();
                let status = if documents.contains_key(&id) { 409 } else { 201 };
                documents.entry(id.clone()).or_insert_with(|| pair[1].clone());
                json!({ "create": { "_id": id, "status": status } })
            });
            let items: Vec<Value> = items.collect();
            Answer::json(200, &json!({ "took": 1, "errors": false, "items": items }).to_string())
        }
    });
    // A new process has no failures behind it.
    drop(sinks);
    let sinks = bench.run(&["sinks"]);
    bench.site.await_count(DEAD, EVENTS).await;
    assert_eq!(documents.lock().expect("held briefly").len(), usize::try_from(EVENTS).expect("positive"));
    let lines: Vec<String> = {
        let documents = documents.lock().expect("held briefly");
        documents.iter().map(|(id, document)| json!({ "_id": id, "_source": document }).to_string()).collect()
    };
    std::fs::write(bench.path("elastic.ndjson"), lines.join("\n")).expect("written");
    let (ok, report) = bench.verified(&bench.path("elastic.ndjson")).await;
    assert!(ok, "{report}");
    again(bench, sinks).await;
}

/// Pausing, resuming, delivering again, while no new record comes in.
async fn again(bench: &Bench, _running: Process) {
    let lines = || std::fs::read_to_string(bench.path("copy.ndjson")).expect("text").lines().count();
    let before = lines();
    let _gateway = bench.site.gateway();
    let (done, said) = bench.asked(&["sink", "pause", "copy", "--reason", "a new disk"]).await;
    assert!(done, "{said}");
    let paused = bench.state("copy", "paused").await;
    assert!(paused["why"].as_str().is_some_and(|why| why.ends_with("a new disk")), "{paused}");
    bench.site.await_count(PAUSE_IN_THE_LOG, 1).await;
    let (done, said) = bench.asked(&["sink", "replay", "copy", "--from", "beginning"]).await;
    assert!(done && said.contains("under its id"), "{said}");
    bench.site.await_that(HALTED, "the pause is not told", |count| count > 0).await;
    assert_eq!(lines(), before, "a paused sink delivers nothing");
    let (done, said) = bench.asked(&["sink", "resume", "copy"]).await;
    assert!(done && said.contains("a new disk"), "{said}");
    bench.site.await_count(RESUME_IN_THE_LOG, 1).await;
    // The decision is an event itself, one for each partition.
    bench.site.await_count(AGAIN, EVENTS).await;
    assert!(lines() >= before + usize::try_from(EVENTS).expect("positive"));
    let (ok, report) = bench.verified(&bench.path("copy.ndjson")).await;
    assert!(ok, "{report}");
    let (done, said) = bench.asked(&["sink", "resume", "copy"]).await;
    assert!(!done && said.contains("was not paused"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_record_is_parked_alone_and_a_new_token_ends_a_pause() {
    const EVENTS: i64 = 400;
    let (splunk, taken) = (Receiver::start().await, Arc::new(Mutex::new(Taken::default())));
    let bad = Arc::new(Mutex::new(None::<String>));
    splunk.plays({
        let (taken, bad) = (Arc::clone(&taken), Arc::clone(&bad));
        let (mut number, mut asked) = (0_u64, HashSet::new());
        move |request| {
            if !request.head.contains("authorization: splunk new-token") {
                return Answer::json(403, r#"{"text":"Invalid token","code":4}"#);
            }
            if request.path.ends_with("/ack") {
                let question: Value = serde_json::from_slice(&request.body).expect("JSON");
                let numbers = question["acks"].as_array().expect("numbers").iter().filter_map(Value::as_u64);
                // Each is acknowledged when it is asked for the second time.
                let told: BTreeMap<String, bool> =
                    numbers.map(|ack| (ack.to_string(), !asked.insert(ack))).collect();
                return Answer::json(200, &json!({ "acks": told }).to_string());
            }
            let events = events(request);
            let bad = bad
                .lock()
                .expect("held briefly")
                .get_or_insert_with(|| id(&events[events.len() / 2]))
                .clone();
            if events.iter().any(|event| id(event) == bad) {
                return Answer::json(400, r#"{"text":"Invalid data format","code":6}"#);
            }
            taken.lock().expect("held briefly").records.extend(events);
            number += 1;
            Answer::json(200, &json!({ "text": "Success", "code": 0, "ackId": number - 1 }).to_string())
        }
    });
    let bench = Bench::new(|folder| {
        std::fs::write(folder.join("token"), "old-token\n").expect("written");
        json!([{ "name": "splunk", "kind": "splunk_hec", "endpoint": splunk.url, "secret_file": folder.join("token"),
                 "linger_s": 0.2 }])
    })
    .await;
    let _processes = [bench.run(&["audit"]), bench.run(&["sinks"])];
    bench.site.publish(1, "acme", usize::try_from(EVENTS).expect("positive")).await;
    let refused = bench.state("splunk", "refused").await;
    assert!(refused["why"].as_str().is_some_and(|why| why.contains("Invalid token")), "{refused}");
    assert_eq!((&refused["delivered"], &refused["parked"]), (&json!(0), &json!(0)));
    std::fs::write(bench.path("token"), "new-token\n").expect("written");
    bench.site.await_count(SETTLED, EVENTS).await;
    assert_eq!(bench.site.count(PARKED).await, 1);
    let row = bench.row("splunk").await;
    assert_eq!(
        (&row["state"], &row["parked"], &row["lag"]),
        (&json!("delivering"), &json!(1), &json!(0)),
        "{row}"
    );
    let taken = taken.lock().expect("held briefly");
    let ids: HashSet<String> = taken.records.iter().map(id).collect();
    assert_eq!((ids.len(), taken.records.len()), (399, 399), "each other record, once");
    assert!(!ids.contains(bad.lock().expect("held briefly").as_deref().expect("one was refused")));
}
