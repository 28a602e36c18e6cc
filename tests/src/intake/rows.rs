//! Records, webhooks and commands become rows, and what is sent again becomes nothing.

use serde_json::{Value, json};

use super::door::{Answer, Door};
use crate::support::site::Site;

const ROWS: &str = "SELECT count(*) FROM audit_entry";
const PARKED: &str = "SELECT count(*) FROM parked_record";
const DUPLICATES: &str =
    "SELECT coalesce(sum(duplicate), 0)::bigint FROM stage_position WHERE stage = 'audit'";
const DELIVERY: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

fn audited(n: u32) -> Value {
    json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": format!("6f1c2a5e-0000-4000-8000-{n:012x}"),
        "stage": "ResponseComplete", "verb": "delete", "user": {"username": "mara@example.com"},
        "objectRef": {"resource": "pods", "namespace": "shop", "name": "web-0"},
        "requestReceivedTimestamp": "2026-01-02T03:04:05.678901Z",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_is_recognised() {
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let stages = site.run_stages(&["audit", "risk", "change_review"], 1);
    let list = json!({"kind": "EventList", "items": [audited(1), audited(2), audited(3)]}).to_string();
    let pushed =
        json!({"ref": "refs/heads/main", "commits": [], "sender": {"login": "mara", "type": "User"}});
    let plan = json!({
        "format_version": "1.2", "timestamp": "2026-01-02T03:04:05Z",
        "resource_changes": [{"address": "aws_db_instance.main", "type": "aws_db_instance", "mode": "managed",
                              "change": {"actions": ["delete"], "before": {"id": "db"}, "after": null}}],
    });
    for _ in 0..2 {
        let answer = Answer::to(door.post("/api/v1/sources/kubernetes-audit", list.clone())).await.taken();
        assert_eq!(answer["counts"]["accepted"], 3);
        let delivered = Answer::to(door.webhook("push", DELIVERY, &pushed.to_string())).await.taken();
        assert_eq!(delivered["accepted"][0]["id"], DELIVERY);
        Answer::to(door.post("/api/v1/sources/terraform-plan", plan.to_string())).await.taken();
        decide(&door).await;
    }
    // Three audit events, a push, a plan, four commands.
    site.await_count(ROWS, 9).await;
    site.await_count(DUPLICATES, 9).await;
    assert_eq!(
        site.count("SELECT count(*) FROM audit_entry WHERE action = 'push' AND actor = 'mara'").await,
        1
    );
    let weights = "SELECT count(*) FROM risk_weight WHERE entity_kind = 'user' AND entity = 'mara@example.com' AND \
                   factor_thousandths IN (2000, 1500)";
    site.await_count(weights, 2).await;
    // Grace asked; the key decided.
    site.await_count("SELECT count(*) FROM change_fact WHERE change_id = 'change-7'", 2).await;
    assert_eq!(site.count("SELECT count(*) FROM risk_unusable").await, 0, "every decision is understood");
    assert_eq!(site.count(PARKED).await, 0);
    stages.stop().await;
    door.stop.cancel();
}

/// The same four decisions with the same keys.
async fn decide(door: &Door) {
    let mara = "/api/v1/risk/entities/user/mara@example.com";
    let commands = [
        ("/api/v1/changes/change-7/approval-requests".to_owned(), json!({"on_behalf_of": "grace"})),
        (
            "/api/v1/changes/change-7/decisions".to_owned(),
            json!({"decision": "approved", "reason": "fine", "on_behalf_of": "grace"}),
        ),
        (format!("{mara}/criticality"), json!({"criticality": "extreme", "reason": "admin"})),
        (
            format!("{mara}/watchlists"),
            json!({"watchlist": "leavers", "action": "added", "multiplier": 1.5, "reason": "left"}),
        ),
    ];
    for (number, (path, body)) in commands.into_iter().enumerate() {
        let request =
            door.post(&path, body.to_string()).header("idempotency-key", format!("decision-{number}"));
        assert_eq!(Answer::to(request).await.taken()["topic"], "weir.governance.v1");
    }
}
