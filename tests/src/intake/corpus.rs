//! Other people's records: every one is taken.

use std::{fs, path::Path};

use serde_json::{Value, json};
use uuid::Uuid;

use super::door::{Answer, Door};
use crate::support::{
    corpus::{corpus, files},
    site::Site,
};

/// Files of labelled events and the source that takes their records. The rest are of systems without a source.
const SOURCES: [(&str, &str); 7] = [
    ("amazon_eks_audit", "kubernetes-audit"),
    ("github_audit", "github-audit"),
    ("okta_systemlog", "okta"),
    ("aws_cloudtrail", "cloudtrail"),
    ("gcp_auditlog", "gcp-audit"),
    ("azure_monitoractivity", "azure-activity"),
    ("azure_audit", "azure-audit"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_published_payload_is_taken() {
    let sets = (corpus("github_webhooks"), corpus("panther"), corpus("cdevents"));
    let (Some(webhooks), Some(panther), Some(cdevents)) = sets else { return };
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let webhooks =
        deliver(&door, &webhooks.path().join("github_webhooks/payload-examples/api.github.com")).await;
    let labelled = label(&door, &panther.path().join("panther")).await;
    assert_eq!(labelled, 859, "all events of the rules");
    let delivery = publish_cdevents(&door, &cdevents.path().join("cdevents/conformance")).await;
    assert_eq!((webhooks, delivery), (273, 48));
    let stage = site.run(1);
    let settled = "SELECT coalesce(sum(applied + duplicate + parked), 0)::bigint FROM stage_position";
    let records = webhooks + labelled + delivery;
    site.await_count(settled, i64::try_from(records).expect("a count")).await;
    let strange = "SELECT count(*) FROM parked_record WHERE reason <> 'duplicate_id_conflict'";
    assert_eq!(
        site.count(strange).await,
        0,
        "only ids that other records have with other content are set aside"
    );
    stage.stop().await;
    door.stop.cancel();
}

/// Webhooks, as GitHub delivers them.
async fn deliver(door: &Door, folder: &Path) -> usize {
    let payloads = files(folder, "json");
    for (number, path) in payloads.iter().enumerate() {
        let event = path.parent().and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
        let body = fs::read_to_string(path).expect("UTF-8");
        let delivery = Uuid::from_u128(number as u128 + 1).to_string();
        let answer = Answer::to(door.webhook(event.expect("a folder"), &delivery, &body)).await;
        assert_eq!(answer.taken()["accepted"][0]["id"], delivery, "{}", path.display());
    }
    payloads.len()
}

/// Labelled events of rules: each by its source, those of other systems as CloudEvents.
async fn label(door: &Door, folder: &Path) -> usize {
    let mut records = 0;
    for path in files(folder, "jsonl") {
        let lines = fs::read_to_string(&path).expect("UTF-8");
        let events: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON lines"))
            .filter(|line| line["kind"] == "rule")
            .map(|mut line| line["event"].take())
            .collect();
        if events.is_empty() {
            continue;
        }
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let answer = match SOURCES.iter().find(|(file, _)| *file == name) {
            Some((_, source)) => {
                let body = Value::from(events.as_slice()).to_string();
                Answer::to(door.post(&format!("/api/v1/sources/{source}"), body)).await.taken()
            }
            None => Answer::to(door.batch(&as_cloud_events(name, &events))).await.taken(),
        };
        let told = |list: &str| answer[list].as_array().map_or(0, Vec::len);
        assert_eq!((told("accepted"), told("rejected")), (events.len(), 0), "{name}");
        records += events.len();
    }
    records
}

fn as_cloud_events(name: &str, records: &[Value]) -> Vec<Value> {
    let event = |(number, record): (usize, &Value)| {
        json!({"specversion": "1.0", "id": number.to_string(), "source": format!("/{name}"),
               "type": format!("com.example.{name}"), "data": record})
    };
    records.iter().enumerate().map(event).collect()
}

/// Events of the conformance suite, each with an id of its own: theirs repeat.
async fn publish_cdevents(door: &Door, folder: &Path) -> usize {
    let paths = files(folder, "json").into_iter().filter(|path| path.parent() == Some(folder));
    let event = |(number, path): (usize, std::path::PathBuf)| {
        let text = fs::read_to_string(path).expect("UTF-8");
        let mut event: Value = serde_json::from_str(&text).expect("JSON");
        event["context"]["id"] = format!("event-{number}").into();
        event
    };
    let events: Vec<Value> = paths.enumerate().map(event).collect();
    let body = Value::from(events.as_slice()).to_string();
    let answer = Answer::to(door.post("/api/v1/sources/cdevents", body)).await.taken();
    assert_eq!(answer["counts"]["accepted"], events.len());
    events.len()
}
