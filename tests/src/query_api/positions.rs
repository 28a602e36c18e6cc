//! Positions that answers reflect, the state of stages, and their parked records.

use std::{collections::BTreeMap, sync::Arc};

use reqwest::StatusCode;
use schemas::Topic;
use sinks::{
    TopicPartition,
    query_api::{AuditAnswer, AuditPage, ParkedPage, PipelineAnswer},
    read_models::pipeline::StageState,
};
use sqlx::Executor;

use super::fixture::{Api, at, entry};

#[tokio::test]
async fn answers_carry_the_position_they_reflect() {
    let mut api = Api::start().await;
    api.set_position("audit", 0, 7).await;
    api.set_position("audit", 3, 9).await;
    api.set_position("another", 0, 99).await;
    api.insert(&entry(1, "Read")).await;
    let expected: BTreeMap<_, _> = [("weir.activity.v1".to_owned(), BTreeMap::from([(0, 7), (3, 9)]))].into();
    let page: AuditPage = api.get("acme", "/api/v1/audit").await;
    assert_eq!(page.position, expected);
    let one: AuditAnswer = api.get("acme", &format!("/api/v1/audit/{}", page.items[0].event_id)).await;
    assert_eq!(one.position, expected);
}

#[tokio::test]
async fn a_reader_may_wait_for_its_own_write() {
    let mut api = Api::start().await;
    api.set_position("audit", 0, 7).await;
    api.get::<AuditPage>("acme", "/api/v1/audit?min_position=weir.activity.v1/0:7").await;
    let waiting = api.refused("acme", "/api/v1/audit?min_position=weir.activity.v1/0:7,weir.usage.v1/0:1");
    assert_eq!(waiting.await, "position-not-reached");
    // No entry comes out of the findings: their position would never be reached.
    let elsewhere = api.refused("acme", "/api/v1/audit?min_position=weir.findings.v1/0:1");
    assert_eq!(elsewhere.await, "invalid-query");

    let (client, url) =
        (api.client.clone(), format!("{}/api/v1/audit?min_position=weir.activity.v1/0:8", api.url));
    let token = api.tokens["acme"].clone();
    let reader = tokio::spawn(async move {
        loop {
            let answer = client.get(&url).bearer_auth(&token).send().await.expect("answered");
            // On a busy machine the write may take longer than a request waits.
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                return answer.json::<AuditPage>().await.expect("a page");
            }
        }
    });
    api.insert(&entry(7, "Mine")).await;
    api.set_position("audit", 0, 8).await;
    let page = reader.await.expect("read");
    assert_eq!(page.items[0].action, "Mine", "never an answer from before");
}

#[tokio::test]
async fn the_pipeline_tells_lag_counts_and_halts() {
    let mut api = Api::start().await;
    api.set_position("audit", 0, 7).await;
    let before: PipelineAnswer = api.get("acme", "/api/v1/pipeline").await;
    assert_eq!((before.stages[0].state, before.stages[0].lag), (StageState::Unknown, None));

    let place = |partition| TopicPartition { topic: Topic::Activity, partition };
    api.log_ends.send_replace(Some(Arc::new([(place(0), 10), (place(1), 5)].into())));
    let answer: PipelineAnswer = api.get("operator", "/api/v1/pipeline").await;
    assert_eq!(answer.position["weir.activity.v1"], [(0, 7)].into());
    let audit = &answer.stages[0];
    assert_eq!((audit.name.as_str(), audit.state, audit.lag), ("audit", StageState::Behind, Some(8)));
    assert_eq!(audit.counts.map(|counts| counts.applied), Some(7));
    let partitions: Vec<_> = audit.partitions.iter().map(|p| (p.partition, p.position, p.lag)).collect();
    assert_eq!(partitions, [(0, Some(7), Some(3)), (1, None, Some(5))]);

    api.set_position("audit", 1, 5).await;
    api.owner
        .execute("UPDATE stage_position SET halted = 'log_diverged' WHERE partition = 1")
        .await
        .expect("halted");
    let halted: PipelineAnswer = api.get("operator", "/api/v1/pipeline").await;
    assert_eq!((halted.stages[0].state, halted.stages[0].lag), (StageState::Halted, Some(3)));
    let operation = halted.stages[0].partitions[1].operation.as_ref().expect("told to an operator");
    assert_eq!(operation.halted.as_deref(), Some("log_diverged"));

    // A tenant sees how far its stages are, and nothing that counts or names what is not its own.
    let told: serde_json::Value = api.get("acme", "/api/v1/pipeline").await;
    let keys =
        |value: &serde_json::Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&told["stages"][0]), ["lag", "name", "partitions", "state"]);
    assert_eq!(keys(&told["stages"][0]["partitions"][0]), ["end", "lag", "partition", "position", "topic"]);
}

#[tokio::test]
async fn parked_records_are_listed_to_their_tenant() {
    let mut api = Api::start().await;
    for (offset, tenant, reason) in [
        (0_i64, "acme", "event_invalid"),
        (1, "acme", "event_invalid"),
        (2, "other", "event_invalid"),
        (3, "acme", "event_invalid"),
        (4, "acme", "too_large"),
    ] {
        sqlx::query(
            "INSERT INTO parked_record (stage, topic, partition, record_offset, tenant_id, value_size, value_sha256,
                 headers, reason, detail, attempts, version, parked_at)
             VALUES ('audit', 'weir.activity.v1', 0, $1, $2, 1, '', '[]', $3, 'why', 1, '0', $4)",
        )
        .bind(offset)
        .bind(tenant)
        .bind(reason)
        // Two of one instant, so that a page ends between them.
        .bind(at(offset / 2))
        .execute(&mut api.owner)
        .await
        .expect("parked");
    }
    let offsets = |page: &ParkedPage| page.items.iter().map(|item| item.offset).collect::<Vec<_>>();
    let first: ParkedPage = api.get("acme", "/api/v1/parked?limit=3").await;
    assert_eq!(offsets(&first), [4, 3, 1]);
    let cursor = first.next_cursor.expect("more");
    let second: ParkedPage = api.get("acme", &format!("/api/v1/parked?limit=3&cursor={cursor}")).await;
    assert_eq!((offsets(&second), second.next_cursor), (vec![0], None));
    let large: ParkedPage =
        api.get("acme", "/api/v1/parked?reason=too_large&status=parked&stage=audit").await;
    assert_eq!(offsets(&large), [4]);
    let other: ParkedPage = api.get("other", "/api/v1/parked").await;
    assert_eq!(offsets(&other), [2]);
}
