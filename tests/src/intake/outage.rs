//! While Kafka is away nothing is said to be stored, and whoever sends again loses nothing.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::door::{Answer, Door};
use crate::support::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_kafka_senders_are_told_to_come_back() {
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let pod = json!({"auditID": "6f1c2a5e-0000-4000-8000-000000000001", "stage": "ResponseComplete", "verb": "get"});
    let asks = || {
        [
            door.post("/api/v1/sources/kubernetes-audit", json!({"items": [pod]}).to_string()),
            door.webhook("ping", "72d3162e-cc78-11e3-81ab-4c9367dc0958", "{}"),
            door.post("/api/v1/changes/7/decisions", r#"{"decision":"rejected","reason":"no"}"#)
                .header("idempotency-key", "the only one"),
        ]
    };
    for ask in asks() {
        Answer::to(ask).await.taken();
    }
    site.stack.kill_kafka().await.expect("a broker to kill");
    for ask in asks() {
        let answer = Answer::to(ask).await;
        assert_eq!((answer.status, answer.retry_after.as_deref()), (503, Some("1")), "{}", answer.body);
        let kind = answer.body["type"].as_str().expect("a type");
        assert!(["/problems/outcome-unknown", "/problems/broker-unavailable"].contains(&kind), "{kind}");
    }
    site.stack.up().await.expect("the broker comes back");
    for ask in asks() {
        while Answer::to(ask.try_clone().expect("a body in memory")).await.status != 202 {
            sleep(Duration::from_millis(100)).await;
        }
    }
    let stage = site.run(1);
    // However often they were written: three events.
    site.await_count("SELECT count(*) FROM audit_entry", 3).await;
    stage.stop().await;
    door.stop.cancel();
}
