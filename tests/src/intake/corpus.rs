//! Other people's records: every one is taken.

use std::fs;

use serde_json::Value;
use uuid::Uuid;

use super::door::{Answer, Door};
use crate::support::{
    corpus::{corpus, files},
    site::Site,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_published_payload_is_taken() {
    let (Some(webhooks), Some(panther)) = (corpus("github_webhooks"), corpus("panther")) else { return };
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let payloads = files(&webhooks.path().join("github_webhooks/payload-examples/api.github.com"), "json");
    for (number, path) in payloads.iter().enumerate() {
        let event = path.parent().and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
        let body = fs::read_to_string(path).expect("UTF-8");
        let delivery = Uuid::from_u128(number as u128 + 1).to_string();
        let answer = Answer::to(door.webhook(event.expect("a folder"), &delivery, &body)).await;
        assert_eq!(answer.taken()["accepted"][0]["id"], delivery, "{}", path.display());
    }
    let mut records = payloads.len();
    for (source, file) in [
        ("kubernetes-audit", "amazon_eks_audit"),
        ("github-audit", "github_audit"),
        ("okta", "okta_systemlog"),
        ("cloudtrail", "aws_cloudtrail"),
    ] {
        let lines = fs::read_to_string(panther.path().join(format!("panther/{file}.jsonl"))).expect("UTF-8");
        let events: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON lines")["event"].take())
            .collect();
        let body = Value::from(events.as_slice()).to_string();
        let answer = Answer::to(door.post(&format!("/api/v1/sources/{source}"), body)).await.taken();
        assert_eq!(
            (&answer["counts"]["accepted"], &answer["counts"]["rejected"]),
            (&events.len().into(), &0.into()),
            "{source}"
        );
        records += events.len();
    }
    let stage = site.run(1);
    let settled = "SELECT coalesce(sum(applied + duplicate + parked), 0)::bigint FROM stage_position";
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
