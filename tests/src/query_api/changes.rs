//! `GET /api/v1/changes` and one change.

use reqwest::StatusCode;
use schemas::{TenantId, events::InfrastructureKind};
use serde_json::{Value, json};
use sinks::query_api::{ChangeAnswer, ChangesPage};

use super::fixture::Api;
use crate::change_review::fixture::{Place, asked, decided, infrastructure, proposed};

/// An API over these changes of acme's: `CR-prod` is blocked, `CR-data` approved and applied, `CR/odd id` asked for.
async fn api() -> Api {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut foreign = proposed(90, "CR-foreign", "aws_db_instance.a", 500);
    foreign.tenant = TenantId::new("other").expect("valid");
    let events = [
        proposed(1, "CR-prod", "aws_db_instance.prod", 10),
        proposed(2, "CR-data", "aws_db_instance.a", 20),
        asked(3, "CR-data", "ada", 30),
        decided(4, "CR-data", ("ada", "approved"), 40),
        decided(5, "CR-data", ("bob", "approved"), 50),
        infrastructure(6, "CR-data", InfrastructureKind::Provisioned, 60),
        asked(7, "CR/odd id", "ada", 70),
        foreign,
    ];
    assert_eq!(member.deliver(&events).await, [8, 0, 0, 0]);
    api
}

async fn ids(api: &Api, query: &str) -> Vec<String> {
    let page: ChangesPage = api.get("acme", &format!("/api/v1/changes?{query}")).await;
    page.items.into_iter().map(|item| item.change_id).collect()
}

#[tokio::test]
async fn changes_are_listed_filtered_and_paged() {
    let api = api().await;
    assert_eq!(ids(&api, "").await, ["CR/odd id", "CR-data", "CR-prod"]);
    assert_eq!(ids(&api, "state=decided").await, ["CR-data", "CR-prod"]);
    assert_eq!(ids(&api, "state=decided&decision=blocked").await, ["CR-prod"]);
    assert_eq!(ids(&api, "route=review").await, ["CR-data"]);
    assert_eq!(ids(&api, "provisioning=applied").await, ["CR-data"]);
    assert_eq!(ids(&api, "plan=read").await, ["CR-data", "CR-prod"]);
    assert_eq!(ids(&api, "plan=unreadable").await, [""; 0]);
    assert_eq!(ids(&api, "project=shop").await, ["CR-data", "CR-prod"]);
    assert_eq!(ids(&api, "requester=ada").await, ["CR/odd id", "CR-data"]);

    let first: ChangesPage = api.get("acme", "/api/v1/changes?limit=2").await;
    let cursor = first.next_cursor.expect("more");
    let second: ChangesPage = api.get("acme", &format!("/api/v1/changes?limit=2&cursor={cursor}")).await;
    assert_eq!(second.items[0].change_id, "CR-prod");
    assert_eq!(second.next_cursor, None);
    let other_filter = format!("/api/v1/changes?route=review&cursor={cursor}");
    assert_eq!(api.refused("acme", &other_filter).await, "invalid-cursor");
    for query in ["state=done", "route=", "plan=all", "limit=0", "provisioning=x", "decision=maybe", "sort=1"]
    {
        assert_eq!(
            api.refused("acme", &format!("/api/v1/changes?{query}")).await,
            "invalid-query",
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_change_is_told_whole_and_what_is_missing_is_said() {
    let api = api().await;
    let answer: Value = api.get("acme", "/api/v1/changes/CR-data").await;
    let item = &answer["item"];
    let expected = json!({
        "change_id": "CR-data", "approval": "decided", "decision": "approved", "provisioning": "applied",
        "route": "review", "score": 60, "approvals": 1, "approvals_needed": 1, "requested_by": "ada",
        "project": "shop", "impossible_total": 1, "facts": 5, "compliance": "not_evaluated",
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&item[name], value, "{name}");
    }
    assert_eq!(item["plan"]["deletes"], 1);
    // The plan does not tell the database's size: it is named, and counts in no amount.
    let cost = &item["cost_delta"];
    assert_eq!((&cost["monthly"], &cost["coverage_before_percent"]), (&json!("0"), &json!(0)));
    assert_eq!((&cost["currency"], &cost["unpriced"]), (&json!("USD"), &json!(1)));
    assert_eq!(item["estimate"]["unpriced"][0]["address"], "aws_db_instance.a");
    let factor = json!({
        "kind": "deletion", "rule": "data_store", "points": 60, "resources": [{ "address": "aws_db_instance.a" }],
        "resources_total": 1, "reason": item["factors"][0]["reason"],
    });
    assert_eq!(item["factors"], json!([factor]));
    let kinds: Vec<&str> =
        item["timeline"].as_array().expect("steps").iter().filter_map(|s| s["kind"].as_str()).collect();
    let happened =
        ["ChangeProposed", "ApprovalRequested", "ApprovalDecided", "ApprovalDecided", "Provisioned"];
    assert_eq!(kinds, happened);
    assert_eq!(item["impossible"][0]["actor"], "ada");
    assert_eq!(item["impossible"][0]["impossible"], "approved by the requester");
    let steps: Vec<(&str, &str)> = item["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| (step["step"].as_str().expect("a name"), step["status"].as_str().expect("a status")))
        .collect();
    let expected = [
        ("requested", "done"),
        ("risk_assessed", "done"),
        ("cost_analysed", "done"),
        ("human_review", "done"),
        ("decided", "done"),
    ];
    assert_eq!(steps, expected);

    let blocked: ChangeAnswer = api.get("acme", "/api/v1/changes/CR-prod").await;
    assert_eq!(blocked.item.change.score, Some(95));
    assert_eq!(blocked.item.factors.len(), 2);
    let odd: ChangeAnswer = api.get("acme", "/api/v1/changes/CR%2Fodd%20id").await;
    assert_eq!((odd.item.change.score, odd.item.plan), (None, None));
}

#[tokio::test]
async fn a_plan_that_policies_deny_names_them_and_what_to_change() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut denied = proposed(1, "CR-key", "aws_kms_key.a", 10);
    let plan = json!({
        "format_version": "1.2", "complete": true, "errored": false,
        "resource_changes": [{
            "address": "aws_kms_key.a", "mode": "managed", "type": "aws_kms_key", "name": "a",
            "change": {
                "actions": ["create"], "before": null, "after_unknown": {},
                "after": {"description": "k", "enable_key_rotation": false, "key_usage": "ENCRYPT_DECRYPT"},
            },
        }],
    });
    denied.native.as_mut().expect("a plan").record = plan.to_string().into();
    assert_eq!(member.deliver(&[denied]).await, [1, 0, 0, 0]);

    let answer: Value = api.get("acme", "/api/v1/changes/CR-key").await;
    let item = &answer["item"];
    assert_eq!((&item["compliance"], &item["policies"]["decision"]), (&json!("fail"), &json!("deny")));
    assert_eq!(item["policies"]["policy_set"].as_str().map(str::len), Some(64));
    assert!(item["policies"]["counts"]["failed"].as_u64().is_some_and(|failed| failed > 0), "{item}");
    let verdicts = item["verdicts"].as_array().expect("verdicts");
    let rotation = verdicts.iter().find(|verdict| verdict["policy_id"] == "aws-kms-rotation").expect("told");
    assert_eq!((&rotation["verdict"], &rotation["resource"]), (&json!("fail"), &json!("aws_kms_key.a")));
    assert!(!rotation["reasons"][0].as_str().unwrap_or_default().is_empty(), "{rotation}");
    assert!(!rotation["remediation"].as_str().unwrap_or_default().is_empty(), "{rotation}");
    assert_eq!(rotation["policy_hash"].as_str().map(str::len), Some(64));
    let factors = item["factors"].as_array().expect("factors");
    assert!(factors.iter().any(|factor| factor["kind"] == "compliance"), "the score counts it: {factors:?}");

    let page: ChangesPage = api.get("acme", "/api/v1/changes").await;
    let listed = serde_json::to_value(&page.items[0]).expect("JSON");
    assert_eq!((&listed["compliance"], &listed["policies"]), (&item["compliance"], &item["policies"]));
}

#[tokio::test]
async fn changes_of_others_are_not_there() {
    let mut api = api().await;
    let page: ChangesPage = api.get("other", "/api/v1/changes").await;
    assert_eq!(page.items.len(), 1);
    let foreign = api.ask("acme", "/api/v1/changes/CR-foreign").await;
    assert_eq!(foreign.0, StatusCode::NOT_FOUND);
    assert_eq!(foreign, api.ask("acme", "/api/v1/changes/CR-none").await, "the same bytes");
    assert_eq!(api.ask("acme", "/api/v1/changes/a%00b").await, foreign);

    // Where a statement forgets the tenant, row-level security does not; what was written stays.
    let seen: Vec<i64> =
        sqlx::query_scalar("SELECT count(*) FROM change_review UNION ALL SELECT count(*) FROM change_fact")
            .fetch_all(&api.readers)
            .await
            .expect("asked");
    assert_eq!(seen, [0, 0]);
    for statement in
        ["UPDATE change_fact SET reason = ''", "DELETE FROM change_fact", "DELETE FROM change_review"]
    {
        sqlx::raw_sql("SET ROLE weir_writer").execute(&mut api.owner).await.expect("the role is granted");
        let refused = sqlx::raw_sql(statement).execute(&mut api.owner).await.expect_err(statement);
        let code = refused.as_database_error().and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
    }
}
