//! Decisions of policies: who goes by one finds it in the audit log, and without Kafka there is none.

use serde_json::{Value, json};

use super::door::{Answer, Door};
use crate::support::site::Site;

pub(super) const BLOCK: &str = "/api/v1/policy/evaluate?mode=block";
const ADVISE: &str = "/api/v1/policy/evaluate?mode=advise";

const DENIED: &str = "SELECT count(DISTINCT event_id) FROM audit_entry \
                      WHERE action = 'EvaluatePolicy' AND outcome_code = 'deny'";
const DENIED_PLANS: &str = "SELECT count(*) FROM audit_entry \
                            WHERE action = 'EvaluatePolicy' AND resource = 'aws_kms_key.a'";

pub(super) fn plan(rotates: bool) -> String {
    json!({
        "format_version": "1.2",
        "resource_changes": [{
            "address": "aws_kms_key.a", "mode": "managed", "type": "aws_kms_key", "name": "a",
            "change": {
                "actions": ["create"], "before": null, "after_unknown": {},
                "after": {"description": "a", "enable_key_rotation": rotates},
            },
        }],
    })
    .to_string()
}

pub(super) async fn decided(door: &Door, path: &str, body: String) -> Value {
    let answer = Answer::to(door.post(path, body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_by_a_decision_finds_it_in_the_audit_log() {
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let denied = decided(&door, BLOCK, plan(false)).await;
    assert_eq!((&denied["decision"], &denied["mode"]), (&json!("deny"), &json!("block")));
    let rotation = &denied["reasons"].as_array().expect("reasons")[0];
    assert!(!rotation["remediation"].as_str().unwrap_or_default().is_empty(), "{rotation}");
    let again = decided(&door, BLOCK, plan(false)).await;
    assert_eq!((&again["decision"], &again["cached"]), (&json!("deny"), &json!(true)));
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
                     "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "app"}]}});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                        "request": {"uid": "u-1", "operation": "CREATE", "object": pod}});
    let refused = decided(&door, BLOCK, review.to_string()).await;
    assert_eq!(
        (&refused["response"]["uid"], &refused["response"]["allowed"]),
        (&json!("u-1"), &json!(false))
    );

    let stage = site.run(1);
    site.await_count(DENIED, 3).await;
    assert_eq!(site.count(DENIED_PLANS).await, 2);
    stage.stop().await;
    door.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_kafka_there_is_advice_and_no_decision_to_go_by() {
    let site = Site::new().await;
    let door = Door::open(&site).await;
    decided(&door, BLOCK, plan(true)).await;
    site.stack.kill_kafka().await.expect("a broker to kill");
    let answer = Answer::to(door.post(BLOCK, plan(true))).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.body.get("decision"), None);
    assert!(decided(&door, ADVISE, plan(true)).await["decision"].is_string());
    door.stop.cancel();
}
