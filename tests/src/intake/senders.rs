//! The public CloudEvents SDKs, each with its own defaults, in every mode, to the gateway and to Kafka: each cell is taken, and
//! what is sent twice is a duplicate.
//!
//! An SDK is installed below the target directory at its first use. Where its registry cannot be reached the test says so, and
//! checks the others.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemas::Topic;
use serde::Deserialize;
use sqlx::{Connection as _, PgConnection};

use super::door::Door;
use crate::support::site::Site;

/// A message that an SDK sent, or would send to Kafka.
#[derive(Debug, Deserialize)]
struct Cell {
    sdk: String,
    way: String,
    case: String,
    mode: String,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    answer: String,
    /// Reason why the client sent nothing.
    #[serde(default)]
    unsent: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// In base64.
    #[serde(default)]
    value: Option<String>,
}

fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("senders").join(name)
}

/// A folder of an SDK's version, and whether it is complete.
fn place(name: &str) -> (PathBuf, bool) {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("senders").join(name);
    let is_complete = place.join("complete").exists();
    (place, is_complete)
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn complete(place: &Path, steps: &mut [Command]) -> bool {
    std::fs::create_dir_all(place).expect("made");
    steps.iter_mut().all(succeeds) && std::fs::write(place.join("complete"), "").is_ok()
}

/// The SDK of Python in that version; nothing where it cannot be installed.
fn python(version: &str) -> Option<Command> {
    let (place, is_complete) = place(&format!("python-{version}"));
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(&place);
    let mut install = Command::new(place.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", &format!("cloudevents=={version}")]);
    if !is_complete && !complete(&place, &mut [venv, install]) {
        return None;
    }
    let mut run = Command::new(place.join("bin/python"));
    run.arg(ours("python_sdk.py"));
    Some(run)
}

/// The SDK of JavaScript in that version; nothing where it cannot be installed.
fn javascript(version: &str) -> Option<Command> {
    let (place, is_complete) = place(&format!("javascript-{version}"));
    let mut install = Command::new("npm");
    install
        .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&place)
        .arg(format!("cloudevents@{version}"));
    if !is_complete && !complete(&place, &mut [install]) {
        return None;
    }
    let mut run = Command::new("node");
    run.arg(ours("javascript_sdk.js")).env("NODE_PATH", place.join("node_modules"));
    Some(run)
}

/// The SDK of Go in the version that `senders/go/go.mod` names; nothing where it cannot be built.
fn go() -> Option<Command> {
    let (place, _) = place("go");
    let program = place.join("sender");
    let mut build = Command::new("go");
    build.args(["build", "-mod=readonly", "-o"]).arg(&program).arg(".").current_dir(ours("go"));
    complete(&place, &mut [build]).then(|| Command::new(program))
}

/// Runs a sender to its end, and reads what it tells of each cell.
async fn cells(name: &str, command: Option<Command>, door: &Door) -> Vec<Cell> {
    let Some(mut command) = command else {
        #[expect(clippy::print_stderr, reason = "whoever runs the tests should see what was not run")]
        {
            eprintln!(
                "ignored: the CloudEvents SDK {name} is not installed and its registry does not answer"
            );
        }
        return Vec::new();
    };
    command.arg(format!("http://{}/api/v1/events", door.address())).env("WEIR_TOKEN", door.token());
    let run = move || command.output();
    let output: Output =
        tokio::task::spawn_blocking(run).await.expect("no panic").expect("the sender starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("a cell")).collect()
}

/// Whether a message says what its value is. Left out by SDKs: version 1 of Python sends structured messages without their
/// media type, version 2 of Python and JavaScript binary ones whose event names no `datacontenttype`.
fn says_what_it_is(headers: &[(&str, &str)], value: &[u8]) -> bool {
    let of = |wanted| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    match (of("content-type"), of("ce_specversion")) {
        (Some(media), None) => media.starts_with("application/cloudevents"),
        (Some(_), Some(_)) => true,
        (None, specversion) => specversion.is_some() && value.is_empty(),
    }
}

/// The reasons for which records were set aside.
async fn set_aside(site: &Site) -> Option<String> {
    let url = &site.endpoints.database_url;
    let mut connection = PgConnection::connect(url).await.expect("Postgres answers");
    let reasons = "SELECT string_agg(told, '; ')
                     FROM (SELECT count(*) || ' ' || reason || ': ' || detail AS told FROM parked_record GROUP BY reason, detail)";
    sqlx::query_scalar(reasons).fetch_one(&mut connection).await.expect("a row")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_sdks_are_taken_in_every_mode() {
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let mut sent = Vec::new();
    for (name, sender) in [
        ("Python 1.11.0", python as fn(&str) -> Option<Command>),
        ("Python 2.2.0", python),
        ("JavaScript 10.0.0", javascript),
        ("Go", |_| go()),
    ] {
        let version = name.rsplit(' ').next().expect("a version").to_owned();
        let command = tokio::task::spawn_blocking(move || sender(&version)).await.expect("no panic");
        sent.extend(cells(name, command, &door).await);
    }
    let (mut times, mut refused, mut ids) = (0, 0, BTreeSet::new());
    for cell in &sent {
        let name = format!("{} {} {} {}", cell.sdk, cell.way, cell.case, cell.mode);
        if let Some(reason) = &cell.unsent {
            // `fetch` refuses headers beyond Latin-1; version 1 of Python refuses events on Kafka without a content type,
            // and bytes.
            let is_known = matches!(
                (cell.sdk.as_str(), cell.way.as_str(), cell.mode.as_str()),
                ("javascript", "http", "binary") | ("python-1", "kafka", _)
            );
            assert!(is_known, "{name}: {reason}");
            continue;
        }
        if cell.way == "http" {
            assert_eq!(cell.status, 202, "{name}: {}", cell.answer);
            times += 1;
        } else {
            let value = cell.value.as_ref().map(|value| STANDARD.decode(value).expect("base64"));
            let headers: Vec<(&str, &str)> =
                cell.headers.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            for _ in 0..2 {
                site.send_raw(Topic::Activity, value.as_deref(), &headers).await;
            }
            times += 2;
            if !says_what_it_is(&headers, value.as_deref().unwrap_or_default()) {
                refused += 2;
                continue;
            }
        }
        ids.insert(name);
    }
    let stage = site.run_stages(&["audit"], 1);
    let settled =
        "SELECT coalesce(sum(applied + duplicate + parked + ignored), 0)::bigint FROM stage_position";
    site.await_count(settled, times).await;
    stage.stop().await;
    door.stop.cancel();
    let different = i64::try_from(ids.len()).expect("few");
    let reasons = set_aside(&site).await;
    assert_eq!(site.count("SELECT count(*) FROM parked_record").await, refused, "{reasons:?}");
    let told = reasons.unwrap_or_default();
    assert!(
        refused == 0 || told.contains("content-type: application/json"),
        "what to change is told: {told}"
    );
    assert_eq!(site.count("SELECT count(*) FROM audit_entry").await, different, "{ids:?}");
    let duplicates = "SELECT coalesce(sum(duplicate), 0)::bigint FROM stage_position";
    assert_eq!(site.count(duplicates).await, times - different - refused, "what is sent twice is one event");
}
