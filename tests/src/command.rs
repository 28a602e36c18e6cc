//! The command as people and scripts use it: one pipeline from `up` to `down`, at a home of its own.

mod doctor;
mod settings;
mod starting;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use ::stack::{Stack, StackConfig};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::support::{self, CAUGHT_UP, assert_private, corpus::corpus};

/// The tenant of the local deployment's own key.
const LOCAL_TENANT: &str = "demo";

/// A home for one pipeline; stopped and purged at the end, whatever the test did.
struct Weir {
    home: TempDir,
    /// The folder that commands run in.
    folder: TempDir,
    /// Fetched before, so that a test does not fetch them again.
    servers: PathBuf,
    /// The proxy that the environment of every command names.
    proxy: TcpListener,
}

impl Weir {
    /// An empty home.
    async fn new() -> Self {
        let shared = StackConfig::shared().expect("a place for the servers");
        let servers = shared.servers.clone();
        Stack::new(shared).up().await.expect("the shared servers, fetched");
        let home = tempfile::Builder::new().prefix("weir-command-").tempdir().expect("a folder");
        let proxy = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        Self { home, folder: settings::folder(), servers, proxy }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-under-test"));
        command
            .args(args)
            .env("WEIR_HOME", self.home.path())
            .env("WEIR_SERVERS", &self.servers)
            .envs(starting::proxies(&self.proxy))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        for name in [
            "KAFKA_BOOTSTRAP_SERVERS",
            "DATABASE_URL",
            "SCHEMA_REGISTRY_URL",
            "WEIR_TOKEN",
            "WEIR_TENANT",
            "RUST_LOG",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// Runs to the end; what it printed.
    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the command starts")
    }

    /// Runs to the end, successfully; its stdout.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "weir {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs to the end, successfully; its stdout as JSON.
    fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("weir {args:?}: {error} in {text}"))
    }

    fn ndjson(&self, args: &[&str]) -> Vec<Value> {
        self.ok(args).lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
    }

    fn stage_count(&self, name: &str) -> i64 {
        self.json(&["lag", "--output", "json"])["stages"][0][name].as_i64().expect("a count")
    }

    /// Waits until so many events are applied besides those about access, which come by themselves.
    fn applied_besides_access(&self, count: i64) {
        let access = ["query", "audit", "--source", "/weir/access", "--limit", "1000", "--output", "ndjson"];
        let mut found = 0;
        for _ in 0..30 {
            let about_access = i64::try_from(self.ndjson(&access).len()).expect("few");
            found = self.stage_count("applied") - about_access;
            if found == count {
                return;
            }
        }
        panic!("{found} events are applied instead of {count}");
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        let down = self.run(&["down", "--purge"]);
        assert!(
            down.status.success() || std::thread::panicking(),
            "{}",
            String::from_utf8_lossy(&down.stderr)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_up_to_down() {
    let weir = Weir::new().await;
    weir.ok(&["up", "--detach", "--no-demo"]);
    assert_private(weir.home.path());
    let plain = weir.json(&["status", "--output", "json"]);
    for name in ["token", "admin_database_url"] {
        assert!(plain.get(name).is_none(), "{name} is shown when it is asked for");
    }
    let status = weir.json(&["status", "--output", "json", "--show-secrets"]);
    let token = status["token"].as_str().expect("a key");
    assert!(!plain.to_string().contains(token));
    for name in ["kafka", "database_url", "gateway", "query_api", "token"] {
        assert!(status[name].is_string(), "{name} in {status}");
    }
    assert_eq!(status["registry"], Value::Null);
    let stage = &status["stages"][0];
    assert_eq!((&stage["name"], &stage["state"]), (&Value::from("audit"), &Value::from("ready")), "{status}");

    each_process_has_a_login_of_its_own(&status).await;
    starting::no_process_dumps_its_memory(&status);
    starting::other_servers_are_refused(&weir, &status);
    generated_events_become_rows(&weir);
    an_event_over_http_is_found(&weir, &status).await;
    metrics_are_beside_what_is_public(&status).await;
    keys_are_made_listed_and_revoked(&weir);
    a_killed_stage_is_started_again(&weir);
    cloudtrail_is_imported_once(&weir);
    settings::rules_beside_weir_toml_are_in_force(&weir, &status).await;
    decisions_are_sent(&weir);
    a_plan_is_imported_and_approved(&weir);
    mistakes_are_told(&weir);
    the_examples_run(&weir, &status);
    an_export_holds_what_the_log_does(&weir);
    doctor::the_doctor_finds_a_halted_stage(&weir).await;
    starting::nobody_has_asked_the_proxy(&weir);
}

/// Every process connects with a login of its own, which may do no more than it needs; none is the server's
/// superuser.
async fn each_process_has_a_login_of_its_own(status: &Value) {
    let url = status["admin_database_url"].as_str().expect("a URL");
    let mut connection = sqlx::PgConnection::connect(url).await.expect("the database takes connections");
    let connected: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT usename::text FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
          ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .expect("connections");
    assert_eq!(connected, ["weir_gateway", "weir_query_api", "weir_stages"]);
}

fn an_export_holds_what_the_log_does(weir: &Weir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (whole, resumed, table) = (file("whole.ndjson"), file("resumed.ndjson"), file("table.csv"));
    // Exports are events themselves: what comes after the first is left out.
    let until = chrono::Utc::now().to_rfc3339();
    weir.ok(&["audit", "export", &whole, "--to", &until]);
    let text = std::fs::read_to_string(&whole).expect("written");
    assert!(text.lines().count() > 1_000, "more than one page");
    // What was cut anywhere goes on to the same file.
    for cut in [text.len() / 2, text.len() / 3 + 1, 0] {
        std::fs::write(&resumed, &text.as_bytes()[..cut]).expect("written");
        weir.ok(&["audit", "export", &resumed, "--to", &until, "--resume"]);
        assert_eq!(std::fs::read_to_string(&resumed).expect("written"), text, "cut at {cut}");
    }
    weir.ok(&["audit", "export", &table, "--format", "csv", "--to", &until, "--outcome", "failure"]);
    let failures = text.lines().filter(|line| line.contains("\"outcome\":\"failure\"")).count();
    let mut rows = csv::Reader::from_path(&table).expect("written");
    let rows: Vec<_> = rows.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), failures);
    assert!(!weir.run(&["audit", "export", &whole]).status.success(), "a file is not written over");
}

/// `examples/`, as their page says to run them; the one that needs a package of Python's only where that is installed.
fn the_examples_run(weir: &Weir, status: &Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("examples");
    let has_client = Command::new("python3").args(["-c", "import confluent_kafka"]).output();
    let has_client = has_client.is_ok_and(|output| output.status.success());
    let mut examples = vec![("sh", "publish.sh"), ("python3", "publish.py")];
    examples.extend(has_client.then_some(("python3", "kafka_producer.py")));
    for (interpreter, example) in examples {
        let output = Command::new(interpreter)
            .arg(folder.join(example))
            .envs(
                [
                    ("GATEWAY", &status["gateway"]),
                    ("QUERY_API", &status["query_api"]),
                    ("TOKEN", &status["token"]),
                    ("KAFKA_BOOTSTRAP_SERVERS", &status["kafka"]),
                ]
                .map(|(name, value)| (name, value.as_str().expect("a text"))),
            )
            .output()
            .expect("the interpreter starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !output.stdout.is_empty(), "{example}: {said}");
    }
    weir.ok(&CAUGHT_UP);
}

fn generated_events_become_rows(weir: &Weir) {
    weir.ok(&["generate", "--events", "1000", "--seed", "7", "--quiet"]);
    weir.ok(&CAUGHT_UP);
    assert_eq!(weir.stage_count("applied"), 1_000);
    let entries = weir.ndjson(&["query", "audit", "--limit", "1001", "--output", "ndjson"]);
    assert_eq!(entries.len(), 1_000);
    let fields =
        ["event_id", "occurred_at", "tenant", "actor", "action", "resource", "outcome", "source", "position"];
    for field in fields {
        assert!(entries[0].get(field).is_some(), "{field} in {}", entries[0]);
    }
    let failures =
        weir.ndjson(&["query", "audit", "--outcome", "failure", "--limit", "1000", "--output", "ndjson"]);
    assert!(!failures.is_empty() && failures.iter().all(|entry| entry["outcome"] == "failure"));
    assert!(weir.ok(&["query", "audit", "--limit", "3"]).trim_start().starts_with("OCCURRED"));
}

async fn metrics_are_beside_what_is_public(status: &Value) {
    for name in ["gateway", "query-api", "audit"] {
        let url = status["metrics"][name].as_str().unwrap_or_else(|| panic!("{name} in {status}"));
        let answer = reqwest::get(url).await.expect("it answers");
        assert_eq!(answer.status(), 200, "{url}");
        let text = answer.text().await.expect("text");
        assert!(text.contains("process_cpu_seconds_total"), "{name}: {text}");
    }
    for name in ["gateway", "query_api"] {
        let url = format!("{}/metrics", status[name].as_str().expect("a URL"));
        assert_eq!(reqwest::get(&url).await.expect("it answers").status(), 404, "{url}");
    }
}

async fn an_event_over_http_is_found(weir: &Weir, status: &Value) {
    support::provide_cryptography();
    let event = serde_json::json!({
        "specversion": "1.0", "id": "sign-in-1", "source": "/console", "type": "io.weir.activity.signed_in.v1",
        "time": "2026-01-05T08:00:00Z",
        "data": { "action": "SignIn", "actor": { "id": "mara@example.com" }, "outcome": { "status": "Success" } }
    });
    let answer = reqwest::Client::new()
        .post(format!("{}/api/v1/events", status["gateway"].as_str().expect("a URL")))
        .bearer_auth(status["token"].as_str().expect("a key"))
        .header("content-type", "application/cloudevents+json")
        .body(event.to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 202);
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["accepted"][0]["topic"], "weir.activity.v1", "{body}");
    weir.ok(&CAUGHT_UP);
    let found = weir.ndjson(&["query", "audit", "--actor", "mara@example.com", "--output", "ndjson"]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["event_id"], body["accepted"][0]["id"]);
    assert_eq!(found[0]["position"]["offset"], body["accepted"][0]["offset"]);
}

fn decisions_are_sent(weir: &Weir) {
    let key = ["--idempotency-key", "once", "--output", "json"];
    let approve = ["change", "approve", "change/7", "--reason", "fine", "--as", "grace@example.com"];
    let (first, again) =
        (weir.json(&[&approve[..], &key[..]].concat()), weir.json(&[&approve[..], &key[..]].concat()));
    assert_eq!((&first["topic"], &again["event_id"]), (&"weir.governance.v1".into(), &first["event_id"]));
    weir.ok(&["change", "request", "change/7", "--environment", "production"]);
    weir.ok(&["risk", "criticality", "user", "mara@example.com", "high", "--reason", "admin"]);
    let list = ["risk", "watchlist", "add", "user", "mara@example.com", "leavers"];
    weir.ok(&[&list[..], &["--multiplier", "1.5", "--reason", "left"]].concat());
    let refused = weir.run(&[&list[..], &["--multiplier", "11", "--reason", "left"]].concat());
    let said = String::from_utf8(refused.stderr).expect("UTF-8");
    assert!(refused.status.code() == Some(1) && said.contains("/multiplier must be 0.1 to 10"), "{said}");
    weir.ok(&CAUGHT_UP);
    let about = weir.ndjson(&["query", "audit", "--correlation", "change/7", "--output", "ndjson"]);
    let decisions: Vec<_> = about.iter().filter(|entry| entry["event_id"] == first["event_id"]).collect();
    assert_eq!((about.len(), decisions.len()), (2, 1), "a request and a decision: a repeat is no second one");
    assert_ne!(decisions[0]["actor"], "grace@example.com", "the key decided; for whom is in the record");
}

fn a_plan_is_imported_and_approved(weir: &Weir) {
    let plan = weir.home.path().join("plan.json");
    let text = r#"{"format_version":"1.2","resource_changes":[{"address":"aws_db_instance.a","mode":"managed",
        "type":"aws_db_instance","name":"a","change":{"actions":["delete"],"before":{},"after":null}}]}"#;
    std::fs::write(&plan, text).expect("a file");
    weir.ok(&["import", "terraform-plan", plan.to_str().expect("UTF-8"), "--quiet"]);
    weir.ok(&CAUGHT_UP);
    let changes = |args: &[&str]| weir.json(&[&["query", "changes", "--output", "json"], args].concat());
    let found = changes(&["--route", "review", "--state", "risk_assessed"]);
    // Others are of the organisation that publishes meanwhile.
    let found = found.as_array().expect("changes").iter().find(|change| change["score"] == 60);
    let id = found.expect("the plan's change")["change_id"].as_str().expect("an id");
    weir.ok(&["change", "request", id, "--as", "tomas@example.com"]);
    // The key that asked cannot approve, for whomever it says that it speaks.
    weir.ok(&["change", "approve", id, "--as", "mara@example.com", "--reason", "it is mine"]);
    weir.ok(&CAUGHT_UP);
    assert_eq!(changes(&["--id", id])["approval"], "human_review");
    let made = weir.json(&[
        "key",
        "create",
        "--tenant",
        LOCAL_TENANT,
        "--scope",
        "changes:decide",
        "--output",
        "json",
    ]);
    let token = made["token"].as_str().expect("a token");
    let approve = ["change", "approve", id, "--as", "mara@example.com", "--reason", "a backup is there"];
    // A gateway reads the keys every two seconds: until then the new one is refused.
    let approved = (0..60).any(|_| {
        let output = weir.command(&approve).env("WEIR_TOKEN", token).output().expect("the command starts");
        output.status.success() || {
            std::thread::sleep(Duration::from_millis(250));
            false
        }
    });
    assert!(approved, "the new key is never taken");
    weir.ok(&CAUGHT_UP);
    let change = changes(&["--id", id]);
    assert_eq!(
        (&change["approval"], &change["decision"]),
        (&"decided".into(), &"approved".into()),
        "{change}"
    );
    assert_eq!((&change["requested_by"], &change["score"]), (&"tomas@example.com".into(), &60.into()));
    let told = weir.ok(&["query", "changes", "--id", id]);
    assert!(told.contains("aws_db_instance.a") && told.contains("a backup is there"), "{told}");
    assert!(weir.ok(&["query", "changes"]).contains(id));
}

fn keys_are_made_listed_and_revoked(weir: &Weir) {
    let made = weir.json(&[
        "key",
        "create",
        "--name",
        "ci",
        "--tenant",
        "acme",
        "--scope",
        "events:write",
        "--output",
        "json",
    ]);
    assert!(made["token"].as_str().expect("a token").starts_with("weir_"));
    assert_eq!(
        (&made["tenant"], &made["scopes"], &made["expires_at"]),
        (&"acme".into(), &json!(["events:write"]), &Value::Null)
    );
    let no_scope = weir.run(&["key", "create", "--tenant", "acme"]);
    assert_eq!(no_scope.status.code(), Some(2), "a key says what it may do");
    let id = made["id"].as_str().expect("an id");
    let listed = weir.json(&["key", "list", "--output", "json"]);
    let ci = listed.as_array().expect("keys").iter().find(|key| key["id"] == id).expect("the key is listed");
    assert_eq!((&ci["name"], &ci["tenant"], &ci["revoked_at"]), (&"ci".into(), &"acme".into(), &Value::Null));
    assert!(ci.get("token").is_none(), "a secret is shown once");
    weir.ok(&["key", "revoke", id]);
    assert_eq!(weir.run(&["key", "revoke", "00000000"]).status.code(), Some(1));
}

fn a_killed_stage_is_started_again(weir: &Weir) {
    let pid =
        |status: &Value| i32::try_from(status["stages"][0]["pid"].as_i64().expect("a pid")).expect("a pid");
    let before = pid(&weir.json(&["status", "--output", "json"]));
    kill(Pid::from_raw(before), Signal::SIGKILL).expect("killed");
    weir.ok(&["generate", "--events", "500", "--seed", "8", "--quiet"]);
    weir.ok(&["up", "--detach", "--no-demo"]);
    weir.ok(&CAUGHT_UP);
    // A thousand, one over HTTP, a key made and revoked, five hundred.
    weir.applied_besides_access(1_503);
    assert_ne!(pid(&weir.json(&["status", "--output", "json"])), before);
}

fn cloudtrail_is_imported_once(weir: &Weir) {
    let Some(stratus) = corpus("stratus") else { return };
    let logs = stratus.path().join("stratus/docs/detonation-logs");
    let logs = logs.to_str().expect("a UTF-8 path");
    for (duplicates, tenant) in [(0, "stratus"), (310, "stratus")] {
        let import = ["import", "cloudtrail", logs, "--tenant", tenant, "--output", "json"];
        let summary = weir.json(&import);
        assert_eq!(
            (&summary["read"], &summary["published"], &summary["duplicates"], &summary["rejected"]),
            (&310.into(), &310.into(), &0.into(), &0.into()),
            "{summary}"
        );
        weir.ok(&CAUGHT_UP);
        assert_eq!(weir.stage_count("duplicate"), duplicates);
    }
    weir.applied_besides_access(1_503 + 310);
    assert_eq!(weir.stage_count("parked"), 0);
}

fn mistakes_are_told(weir: &Weir) {
    let said = |args: &[&str], code: i32| {
        let output = weir.run(args);
        assert_eq!(output.status.code(), Some(code), "weir {args:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert!(said(&["run", "audits"], 1).contains("\"audits\" is neither a stage nor a service"));
    assert!(said(&["query", "audit", "--outcome", "good"], 1).contains("outcome"));
    assert!(said(&["generate"], 2).contains("--events"));
    assert!(said(&["import", "cloudtrail", "/nowhere/at/all"], 1).contains("/nowhere/at/all"));
}
