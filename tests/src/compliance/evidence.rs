//! Evidence packets as operators make them and auditors check them: over HTTP, then without a server.

use std::{fs, io::Read as _, path::Path, process::Output};

use audit_log::{
    checkpoint::Checkpoint,
    keys::{PrivateKey, Purpose},
};
use processors::{Processor as _, audit::Audit};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use schemas::{Envelope, Topic, events::GovernanceKind};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sinks::{
    Batch, ClaimRequest, KeptBytes, LastRecord, OffsetRange, RawRecord, RecordChanges, Settlement, Sink as _,
    TopicPartition,
    log_store::SigningStore,
    postgres::{PostgresSink, SinkConfig},
    read_models::audit_entry::AuditEntries,
};

use super::fixture::{ENCRYPTED, Place, completed, deleted, granted, hour, planned, unknown, volume, waiver};
use crate::{query_api::fixture::Api, support};

const LOG: &str = "weir.infrastructure.v1/0";

/// Events delivered to the compliance stage and to the audit log, whose checkpoint is signed; and the log's key.
async fn delivered(api: &Api, events: &[Envelope]) -> String {
    Place::at(api.database.clone()).await.member(0).await.deliver(events).await;
    audited(&api.database, events).await;
    let key = PrivateKey::new("audit.example.com", &[1; 32]).expect("a name");
    let mut store = SigningStore::claim(&api.database).await.expect("connected").expect("nobody else signs");
    let log = store.unsigned().await.expect("a log").remove(0).expect("whole");
    let checkpoint = Checkpoint {
        origin: format!("audit.example.com/{LOG}"),
        size: log.frontier.size(),
        root: log.frontier.root(),
        extensions: Vec::new(),
    };
    let note = checkpoint.sign(std::slice::from_ref(&key)).expect("signed");
    store.store(LOG, &checkpoint, &note, chrono::Utc::now()).await.expect("stored");
    key.public(Purpose::Log).to_string()
}

async fn audited(database: &str, events: &[Envelope]) {
    let config = SinkConfig {
        stage: "audit".into(),
        url: database.into(),
        owner: "test".into(),
        cluster_id: "test".into(),
        version: "test".into(),
    };
    let partition = TopicPartition { topic: Topic::Infrastructure, partition: 0 };
    let mut sink = PostgresSink::new(config, AuditEntries::new(support::subject_secret()).expect("zstd"));
    let claims = sink.claim(&[ClaimRequest { partition, low: 0, partitions: None }]).await;
    let claim = claims.expect("claimed").remove(0);
    let records =
        events.iter().flat_map(|event| Audit.process(event)).zip(0..).map(|(entry, offset)| RecordChanges {
            range: 0,
            offset,
            identity: Some((entry.tenant.clone(), entry.event_id)),
            settlement: Settlement::Apply(vec![entry]),
            raw: RawRecord::default(),
            kept: KeptBytes::All,
        });
    let upto = i64::try_from(events.len()).expect("small");
    let last = Some(LastRecord { offset: upto - 1, print: [0; 32] });
    let range = OffsetRange { partition, start: 0, upto, last, owner_epoch: claim.owner_epoch };
    let settled = sink
        .deliver(&Batch { records: records.collect(), ranges: vec![range], rule_set: None })
        .await
        .expect("delivered");
    assert_eq!(settled.ranges[0].applied, upto);
}

/// Every kind of observation that the fixture has, and a waiver.
fn events() -> Vec<Envelope> {
    let mut events = vec![
        volume(1, "a-1", false, hour(0)),
        volume(2, "a-2", true, hour(1)),
        volume(3, "b-1", false, hour(2)),
        unknown(4, "b-2", hour(3)),
        volume(5, "a-3", false, hour(4)),
        deleted(6, "a-3", hour(5)),
        planned(7, "c", Some(true), hour(6)),
        completed(8, "c", hour(7)),
    ];
    events.extend(granted(10, "w-1", &["a-1"], hour(8), hour(100)));
    events.push(waiver(20, ("w-1", "bob"), (GovernanceKind::WaiverRevoked, &[]), hour(50), None));
    events
}

async fn weir(api: &Api, folder: &Path, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_weir-under-test"));
    command
        .args(args)
        .current_dir(folder)
        .env("WEIR_HOME", folder)
        .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .env("DATABASE_URL", &api.database)
        .env("WEIR_QUERY_API__URL", &api.url)
        .env("WEIR_TOKEN", &api.tokens["acme"])
        .env_remove("RUST_LOG");
    command.output().await.expect("it starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The files of a packet, in their order.
fn files(packet: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(packet);
    let entries = archive.entries().expect("an archive").map(|entry| {
        let mut entry = entry.expect("a file");
        let (name, mut bytes) = (entry.path().expect("a name").display().to_string(), Vec::new());
        entry.read_to_end(&mut bytes).expect("its bytes");
        (name, bytes)
    });
    entries.collect()
}

/// A packet of these files by somebody who makes all digests anew.
fn forged(mut files: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let digest = |bytes: &[u8]| {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    };
    let lines: Vec<(String, Vec<u8>)> =
        files.iter().filter(|(name, _)| name.ends_with(".ndjson")).cloned().collect();
    for (name, bytes) in lines {
        let listed = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let listed: String = listed.map(|line| digest(line) + "\n").collect();
        files.iter_mut().find(|(file, _)| *file == format!("{name}.sha256")).expect("digests").1 =
            listed.into_bytes();
    }
    let mut manifest: Value = serde_json::from_slice(&files[0].1).expect("JSON");
    for one in manifest["files"].as_array_mut().expect("files") {
        let (_, bytes) = files.iter().find(|(name, _)| *name == one["path"]).expect("the file");
        one["sha256"] = digest(bytes).into();
        one["bytes"] = bytes.len().into();
    }
    files[0].1 = manifest.to_string().into_bytes();
    let pinned = digest(&files[0].1) + "\n";
    files.last_mut().expect("files").1 = pinned.into_bytes();
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        for zero in [tar::Header::set_mtime, tar::Header::set_uid, tar::Header::set_gid] {
            zero(&mut header, 0);
        }
        archive.append_data(&mut header, name, bytes.as_slice()).expect("added");
    }
    archive.into_inner().expect("an archive")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_is_made_over_http_and_checked_without_a_server() {
    let api = Api::start().await;
    let key = delivered(&api, &events()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let arguments =
        ["compliance", "evidence", "hipaa", "--as-of", "2026-03-02T12:00:00Z", "--output", "p.tar"];
    let made = weir(&api, folder.path(), &arguments).await;
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    let again = weir(&api, folder.path(), &arguments).await;
    assert!(!again.status.success() && text(&again).contains("is there already"), "{}", text(&again));
    let packet = folder.path().join("p.tar");
    let bytes = fs::read(&packet).expect("the packet");

    let verify = async |bytes: &[u8], more: &[&str]| {
        fs::write(folder.path().join("checked.tar"), bytes).expect("written");
        let args = [&["evidence", "verify", "checked.tar", "--output", "json", "--key", &key], more].concat();
        let output = weir(&api, folder.path(), &args).await;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), report)
    };
    let (code, report) = verify(&bytes, &[]).await;
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(
        (&report["verdicts"], &report["judged_again"], &report["waived"]),
        (&json!(5), &json!(5), &json!(1))
    );
    assert_eq!((&report["framework"], &report["tenant"]), (&json!("HIPAA"), &json!("acme")));
    let pinned = report["manifest_sha256"].as_str().expect("a digest").to_owned();
    assert!(text(&made).contains(&pinned), "{}", text(&made));
    assert_eq!(verify(&bytes, &["--manifest", &pinned]).await.0, Some(0));
    assert_eq!(verify(&bytes, &["--manifest", "00"]).await.0, Some(1));

    let mut dice = StdRng::seed_from_u64(11);
    for _ in 0..20 {
        let mut flipped = bytes.clone();
        let at = dice.random_range(0..flipped.len());
        flipped[at] ^= 0x20;
        let (code, report) = verify(&flipped, &[]).await;
        assert_eq!(code, Some(1), "byte {at}: {report}");
        assert!(report["faults"][0]["place"].is_string(), "byte {at}: {report}");
    }
    let mut claims = files(&bytes);
    let verdicts = claims.iter_mut().find(|(name, _)| name == "verdicts.ndjson").expect("verdicts");
    let lines = String::from_utf8(verdicts.1.clone()).expect("UTF-8");
    let claimed = lines.replacen("\"status\":\"fail\"", "\"status\":\"pass\"", 1);
    assert_ne!(lines, claimed);
    verdicts.1 = claimed.into_bytes();
    let (code, report) = verify(&forged(claims), &[]).await;
    assert_eq!((code, &report["faults"][0]["kind"]), (Some(1), &json!("verdict")), "{report}");
    let honest = files(&bytes);
    assert_eq!(verify(&forged(honest), &[]).await.0, Some(0), "the same files give the same packet");

    let other =
        PrivateKey::new("audit.example.com", &[2; 32]).expect("a name").public(Purpose::Log).to_string();
    fs::write(folder.path().join("checked.tar"), &bytes).expect("written");
    let foreign = weir(&api, folder.path(), &["evidence", "verify", "checked.tar", "--key", &other]).await;
    assert_eq!(foreign.status.code(), Some(1), "{}", text(&foreign));
    for (name, content) in
        [("none.tar", None), ("picture.png", Some("\u{89}PNG".as_bytes())), ("empty", Some(&[]))]
    {
        if let Some(content) = content {
            fs::write(folder.path().join(name), content).expect("written");
        }
        let unread = weir(&api, folder.path(), &["evidence", "verify", name]).await;
        assert_eq!(unread.status.code(), Some(2), "{name}: {}", text(&unread));
        assert!(text(&unread).contains(name), "{}", text(&unread));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_written_as_oscal() {
    let api = Api::start().await;
    delivered(&api, &events()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let report = async |as_of: &str, form: &str| {
        let args =
            ["compliance", "report", "HIPAA", "--as-of", as_of, "--format", form, "--file", "oscal.json"];
        let output = weir(&api, folder.path(), &args).await;
        let written = fs::read(folder.path().join("oscal.json")).unwrap_or_default();
        (output, serde_json::from_slice::<Value>(&written).unwrap_or_default())
    };
    let (output, results) = report("2026-03-02T12:00:00Z", "oscal-ar").await;
    assert!(output.status.success(), "{}", text(&output));
    let result = &results["assessment-results"]["results"][0];
    assert_eq!(result["observations"].as_array().map(Vec::len), Some(5), "{results}");
    let risks = result["risks"].as_array().expect("risks");
    let statuses: Vec<&Value> = risks.iter().map(|risk| &risk["status"]).collect();
    assert_eq!(statuses, ["deviation-approved", "open"], "one of two failures is waived");
    assert!(risks.iter().all(|risk| risk["deadline"].is_string()), "{risks:?}");
    let (output, plan) = report("2026-03-02T12:00:00Z", "oscal-poam").await;
    assert!(output.status.success(), "{}", text(&output));
    let items = &plan["plan-of-action-and-milestones"]["poam-items"];
    assert_eq!(items.as_array().map(Vec::len), Some(2), "{plan}");
    let (output, _) = report("2026-02-01", "oscal-poam").await;
    assert!(!output.status.success() && text(&output).contains("HIPAA"), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proofs_are_asked_for_many_at_once() {
    let api = Api::start().await;
    delivered(&api, &events()).await;
    let id = |n: u64| uuid::Uuid::from_u128(u128::from(n) + 1);
    let path = format!("/api/v1/audit/proofs?events={},{},{}", id(1), id(2), id(999));
    let answer: Value = api.get("acme", &path).await;
    let found: Vec<&Value> =
        answer["items"].as_array().expect("items").iter().map(|item| &item["index"]).collect();
    assert_eq!(found, [&json!(0), &json!(1)]);
    assert_eq!((&answer["missing"], &answer["left"]), (&json!([id(999)]), &json!([])));
    let single: Value = api.get("acme", &format!("/api/v1/audit/{}/proof", id(2))).await;
    assert_eq!(single, answer["items"][1], "the same proof as by itself");
    let foreign: Value = api.get("other", &path).await;
    assert_eq!(foreign["items"], json!([]), "another tenant's entries are nobody else's");
    for query in
        ["", "events=", "events=x", &format!("events={}", vec![id(1).to_string(); 1].join(",") + ",")]
    {
        assert_eq!(api.ask("acme", &format!("/api/v1/audit/proofs?{query}")).await.0, 400, "{query}");
    }
    let many: Vec<String> = (0..51).map(|n| id(n).to_string()).collect();
    assert_eq!(api.ask("acme", &format!("/api/v1/audit/proofs?events={}", many.join(","))).await.0, 400);
    let waivers: Value = api.get("acme", "/api/v1/compliance/waivers?as_of=2026-03-01T12:00:00Z").await;
    assert_eq!(waivers["items"][0]["events"], json!([id(10), id(11)]), "its revocation is not known yet");
    assert_eq!(waivers["items"][0]["policies"], json!([ENCRYPTED]));
}
