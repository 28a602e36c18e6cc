//! Decisions of policies over HTTP.

mod documents;

use std::pin::Pin;

use policies::{Config, InForce, PolicySet};
use schemas::{
    Event,
    changes::{
        budget_verdicts::BudgetVerdict,
        cost::Enforcement,
        waivers::{GrantedWaiver, GrantedWaivers},
    },
    events::OutcomeStatus,
};

use super::*;
use crate::gateway::{Budgets, PlanAsked};

/// Queues need a key, pods a limit; deleting a production bucket is denied; replicas give a warning.
const POLICIES: [(&str, &str); 4] = [
    (
        "key.rego",
        "# METADATA\n# title: Queues have keys\n# custom:\n#   id: queue-key\n#   severity: critical\n\
         #   remediation: Name a key.\n#   resource_types: [test_queue]\npackage test.key\n\n\
         deny contains \"it has no key\" if not input.config.key\n",
    ),
    (
        "pod.rego",
        "# METADATA\n# custom:\n#   id: pod-limit\n#   severity: high\n#   remediation: Set a limit.\n\
         #   resource_types: [Pod]\npackage test.pod\n\n\
         deny contains \"a container has no limit\" if {\n  some c in input.config.spec.containers\n  not c.resources.limits\n}\n",
    ),
    (
        "bucket.rego",
        "# METADATA\n# custom:\n#   id: bucket-deletion\n#   severity: low\n#   resource_types: [action]\n\
         package test.bucket\n\ndeny contains \"production keeps its buckets\" if {\n  \
         input.config.action == \"DeleteBucket\"\n  input.config.environment == \"production\"\n}\n",
    ),
    (
        "replicas.rego",
        "# METADATA\n# custom:\n#   id: replicas\n#   severity: low\n#   resource_types: [Deployment]\n\
         package test.replicas\n\nwarn contains \"one replica\" if input.config.spec.replicas == 1\n",
    ),
];

fn in_force() -> InForce {
    let set = PolicySet::load(POLICIES, Config::default());
    assert_eq!(set.faults(), []);
    InForce::new(set)
}

async fn deciding(fates: &[Fate]) -> Running {
    start_with(GatewayConfig { policies: in_force(), ..config() }, Scripted::new(fates)).await
}

fn ask(query: &str, body: &(impl ToString + ?Sized)) -> Ask {
    Ask::new("POST", &format!("/api/v1/policy/evaluate{query}"))
        .header("authorization", &format!("Bearer {}", token(DECIDER)))
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn plan(after: &Value) -> Value {
    json!({
        "format_version": "1.2",
        "resource_changes": [{
            "address": "test_queue.q", "mode": "managed", "type": "test_queue", "name": "q",
            "change": {"actions": ["create"], "before": null, "after": after, "after_unknown": {}},
        }],
    })
}

fn pod(limits: &Value) -> Value {
    let resources = if limits.is_null() { json!({}) } else { json!({"limits": limits}) };
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": [{"name": "web", "resources": resources}]},
    })
}

fn review(uid: &str, operation: &str, object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": uid, "operation": operation, "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "name": "web", "namespace": "shop", "object": object, "userInfo": {"username": "mara"},
        },
    })
}

#[tokio::test]
async fn a_plan_is_denied_with_reasons_and_what_to_change() {
    let running = deciding(&[]).await;
    let reply = ask("", &json!({"input": plan(&json!({"name": "q"})), "mode": "block", "change_id": "c-7"}));
    let reply = reply.to(&running).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
    let told = reply.json();
    assert_eq!(
        (&told["decision"], &told["mode"], &told["kind"]),
        (&json!("deny"), &json!("block"), &json!("plan"))
    );
    let reason = &told["reasons"][0];
    assert_eq!((&reason["policy_id"], &reason["resource"]), (&json!("queue-key"), &json!("test_queue.q")));
    assert_eq!(
        (&reason["reasons"], &reason["remediation"]),
        (&json!(["it has no key"]), &json!("Name a key."))
    );
    assert_eq!((&told["holds_seconds"], &told["cached"]), (&json!(30), &json!(false)));

    let event = running.kafka.published().pop().expect("a trace");
    assert_eq!(
        (event.id.to_string(), event.correlation_id.as_deref()),
        (told["decision_id"].as_str().expect("an id").to_owned(), Some("c-7"))
    );
    assert_eq!((event.source.as_str(), event.tenant.as_str()), ("weir:policy", "acme"));
    let Event::Activity(activity) = &event.event else { panic!("activity") };
    assert_eq!((activity.action.as_str(), activity.actor.id.as_str()), ("EvaluatePolicy", DECIDER));
    assert_eq!(
        (activity.outcome.status, activity.outcome.code.as_deref()),
        (OutcomeStatus::Success, Some("deny"))
    );
    assert_eq!(activity.resources[0].id, "test_queue.q");
    let native: Value = serde_json::from_str(&event.native.expect("a record").record).expect("JSON");
    assert_eq!((&native["policy_set"], &native["mode"]), (&told["policy_set"], &json!("block")));
}

#[tokio::test]
async fn plans_objects_resources_and_actions_are_told_apart() {
    let running = deciding(&[]).await;
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 1}});
    for (input, decision, kind) in [
        (plan(&json!({"key": "k"})), "allow", "plan"),
        (pod(&json!(null)), "deny", "object"),
        (pod(&json!({"cpu": "1"})), "allow", "object"),
        (deployment, "warn", "object"),
        (json!({"type": "test_queue", "config": {}}), "deny", "resource"),
        (json!({"action": "DeleteBucket", "environment": "production"}), "deny", "action"),
        (json!({"action": "DeleteBucket", "environment": "test"}), "allow", "action"),
    ] {
        for body in [input.clone(), json!({"input": input})] {
            let told = ask("?mode=advise", &body).to(&running).await.json();
            assert_eq!((&told["decision"], &told["kind"]), (&json!(decision), &json!(kind)), "{body}");
        }
    }
}

#[tokio::test]
async fn the_same_document_is_decided_once_until_policies_change() {
    let policies = in_force();
    let running =
        start_with(GatewayConfig { policies: policies.clone(), ..config() }, Scripted::new(&[])).await;
    let asked = async || ask("?mode=block", &plan(&json!({}))).to(&running).await.json();
    let (first, second) = (asked().await, asked().await);
    assert_eq!((&first["cached"], &second["cached"]), (&json!(false), &json!(true)));
    assert_eq!(first["reasons"], second["reasons"]);
    assert_ne!(first["decision_id"], second["decision_id"], "each has a trace of its own");
    assert_eq!(running.kafka.published().len(), 2);
    policies.replace(PolicySet::load([], Config::default()));
    let third = asked().await;
    assert_eq!((&third["cached"], &third["decision"]), (&json!(false), &json!("allow")));
    assert_ne!(third["policy_set"], first["policy_set"]);
}

/// A waiver of one policy for one resource, from an hour ago on and for so long.
fn waiver(id: &str, policy: &str, resource: &str, seconds: i64) -> GrantedWaiver {
    let now = chrono::Utc::now();
    GrantedWaiver {
        waiver: id.into(),
        policies: vec![policy.into()],
        resources: vec![resource.into()],
        from: now - chrono::TimeDelta::hours(1),
        until: now + chrono::TimeDelta::seconds(seconds),
        expires_at: now + chrono::TimeDelta::seconds(seconds),
    }
}

fn of_acme(waivers: Vec<GrantedWaiver>) -> Arc<GrantedWaivers> {
    let tenant = TenantId::new("acme").expect("a plain name");
    Arc::new(waivers.into_iter().map(|one| (tenant.clone(), one)).collect())
}

#[tokio::test]
async fn a_failure_under_a_waiver_does_not_deny_until_the_waiver_ends() {
    let (granted, waivers) = tokio::sync::watch::channel(Arc::default());
    let config = GatewayConfig { policies: in_force(), waivers, ..config() };
    let running = start_with(config, Scripted::new(&[])).await;
    let asked = async |body: Value| ask("?mode=block", &body).to(&running).await.json();
    let bad = || plan(&json!({}));
    let decision = |told: &Value| told["decision"].as_str().map(str::to_owned);
    assert_eq!(decision(&asked(bad()).await).as_deref(), Some("deny"));
    assert_eq!(asked(bad()).await["cached"], true);

    granted.send_replace(of_acme(vec![waiver("w-1", "queue-key", "terraform/test_queue.q", 20)]));
    let told = asked(bad()).await;
    assert_eq!((decision(&told).as_deref(), &told["cached"]), (Some("allow"), &json!(false)), "{told}");
    let reason = &told["reasons"][0];
    assert_eq!((&reason["verdict"], &reason["waiver"]), (&json!("waived"), &json!("w-1")));
    assert!(reason["waived_until"].is_string());
    assert_eq!((&told["counts"]["waived"], &told["counts"]["deny"]), (&json!(1), &json!(0)));
    assert!(
        told["holds_seconds"].as_u64().is_some_and(|seconds| seconds < 20),
        "no longer than the waiver: {told}"
    );
    assert_eq!(asked(bad()).await["cached"], true);
    let elsewhere = json!({"input": bad(), "workspace": "other"});
    assert_eq!(
        decision(&asked(elsewhere.clone()).await).as_deref(),
        Some("deny"),
        "another workspace's queue"
    );

    let version = told["waivers"].clone();
    granted.send_replace(of_acme(vec![waiver("w-2", "queue-key", "other/test_queue.q", 3_000)]));
    let told = asked(bad()).await;
    assert_eq!((decision(&told).as_deref(), &told["cached"]), (Some("deny"), &json!(false)));
    assert_ne!(told["waivers"], version);
    assert_eq!(decision(&asked(elsewhere).await).as_deref(), Some("allow"));
    for (id, policy, resource, seconds, expected) in [
        ("by-address", "queue-key", "test_queue.q", 3_000, "allow"),
        ("of-another-policy", "pod-limit", "test_queue.q", 3_000, "deny"),
        ("over", "queue-key", "test_queue.q", -1, "deny"),
    ] {
        granted.send_replace(of_acme(vec![waiver(id, policy, resource, seconds)]));
        assert_eq!(decision(&asked(bad()).await).as_deref(), Some(expected), "{id}");
    }
    let other = TenantId::new("other").expect("a plain name");
    let foreign = [(other, waiver("w-3", "queue-key", "test_queue.q", 3_000))].into_iter().collect();
    granted.send_replace(Arc::new(foreign));
    assert_eq!(decision(&asked(bad()).await).as_deref(), Some("deny"), "another tenant's waiver");
}

#[tokio::test]
async fn an_object_under_a_waiver_is_admitted_with_a_warning() {
    let waivers = of_acme(vec![waiver("w-1", "pod-limit", "pods/shop/web", 3_000)]);
    let (_granted, waivers) = tokio::sync::watch::channel(waivers);
    let config = GatewayConfig { policies: in_force(), waivers, ..config() };
    let running = start_with(config, Scripted::new(&[])).await;
    let told = ask("?mode=block", &review("u-1", "CREATE", &pod(&json!(null)))).to(&running).await.json();
    assert_eq!(told["response"]["allowed"], true, "{told}");
    let warning = told["response"]["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("pod-limit") && warning.contains("waived by w-1"), "{warning}");
    let mut another = pod(&json!(null));
    another["metadata"]["name"] = "api".into();
    let told = ask("?mode=block", &review("u-2", "CREATE", &another)).to(&running).await.json();
    assert_eq!(told["response"]["allowed"], false, "{told}");
}

#[tokio::test]
async fn there_is_no_decision_to_go_by_without_a_trace() {
    let fates = [Fate::Fails(DeliveryFailure::TimedOut), Fate::QueueFull, Fate::Stored];
    let running = deciding(&fates).await;
    ask("?mode=block", &plan(&json!({}))).to(&running).await.expect(503, "outcome-unknown");
    ask("?mode=block", &plan(&json!({}))).to(&running).await.expect(503, "queue-full");
    assert_eq!(ask("?mode=block", &plan(&json!({}))).to(&running).await.json()["decision"], "deny");
}

#[tokio::test]
async fn advice_does_not_wait_for_its_trace() {
    let running = deciding(&[Fate::NeverHeardOf, Fate::QueueFull]).await;
    for _ in 0..2 {
        let reply = ask("?mode=advise", &plan(&json!({}))).to(&running).await;
        assert_eq!((reply.status, &reply.json()["decision"]), (200, &json!("deny")));
    }
}

#[tokio::test]
async fn a_review_is_answered_as_an_admission_webhook() {
    let running = deciding(&[]).await;
    let bad = pod(&json!(null));
    let told = ask("?timeout=10s&mode=block", &review("u-1", "CREATE", &bad)).to(&running).await.json();
    assert_eq!(
        (&told["apiVersion"], &told["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    let response = &told["response"];
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("u-1"), &json!(false)));
    assert_eq!(response["status"]["code"], 403);
    let message = response["status"]["message"].as_str().expect("a reason");
    assert!(message.contains("pod-limit: a container has no limit (Set a limit.)"), "{message}");

    let told = ask("?mode=block", &review("u-2", "CREATE", &bad)).to(&running).await.json();
    assert_eq!((&told["response"]["uid"], &told["response"]["allowed"]), (&json!("u-2"), &json!(false)));
    let told = ask("", &review("u-3", "CREATE", &bad)).to(&running).await.json();
    assert_eq!(told["response"]["allowed"], true, "advice");
    assert!(
        told["response"]["warnings"][0].as_str().is_some_and(|text| text.contains("pod-limit")),
        "{told}"
    );
    let good = review("u-4", "UPDATE", &pod(&json!({"cpu": "1"})));
    let told = ask("?mode=block", &good).to(&running).await.json();
    assert_eq!(told["response"], json!({"uid": "u-4", "allowed": true}));
    let mut gone = review("u-5", "DELETE", &Value::Null);
    gone["request"]["oldObject"] = bad;
    let told = ask("?mode=block", &gone).to(&running).await.json();
    assert_eq!(told["response"]["allowed"], true, "what is bad may be deleted");
}

/// API servers allow no query in the URL of a webhook.
#[tokio::test]
async fn a_path_names_the_mode_as_a_query_does() {
    let running = deciding(&[]).await;
    let bad = review("u-1", "CREATE", &pod(&json!(null)));
    let denied = ask("/block?timeout=10s", &bad).to(&running).await.json();
    assert_eq!(denied["response"]["allowed"], false, "{denied}");
    let warned = ask("/advise?timeout=10s", &bad).to(&running).await.json();
    assert_eq!(warned["response"]["allowed"], true, "{warned}");
    assert!(warned["response"]["warnings"][0].as_str().is_some_and(|text| text.contains("pod-limit")));
    let unknown = ask("/deny", &bad).to(&running).await;
    unknown.expect(404, "not-found");
    assert!(unknown.json()["detail"].as_str().is_some_and(|text| text.contains("advise and block")));
    ask("/block?mode=advise", &bad).to(&running).await.expect(400, "invalid-query");
    let other = json!({"input": plan(&json!({})), "mode": "advise"});
    ask("/block", &other).to(&running).await.expect(400, "invalid-request");
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused_clearly() {
    let running = deciding(&[]).await;
    let mut empty = review("u", "CREATE", &Value::Null);
    let reply = ask("?mode=block", &empty).to(&running).await;
    reply.expect(400, "invalid-request");
    assert!(reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("/request/object")));
    empty["request"] = Value::Null;
    ask("", &empty).to(&running).await.expect(400, "invalid-request");
    ask("", "{\"input\": ").to(&running).await.expect(400, "invalid-json");
    ask("", &json!({"input": {"values": {}, "format_version": "1.0"}}))
        .to(&running)
        .await
        .expect(400, "invalid-request");
    ask("?mode=deny", &plan(&json!({}))).to(&running).await.expect(400, "invalid-query");
    ask("?mode=block", &json!({"input": plan(&json!({})), "mode": "advise"}))
        .to(&running)
        .await
        .expect(400, "invalid-request");
    let deep = format!("{}{}", "{\"a\":".repeat(10_000), "1".to_owned() + &"}".repeat(10_000));
    ask("", &deep).to(&running).await.expect(400, "json-limit");
    let large = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "x".repeat(5 << 20)}});
    ask("", &large).to(&running).await.expect(413, "body-too-large");
    assert!(running.kafka.published().is_empty(), "what is refused is no decision");
}

#[tokio::test]
async fn decisions_need_their_scope() {
    let running = deciding(&[]).await;
    let with = |id: &str, mode: &str| {
        Ask::new("POST", &format!("/api/v1/policy/evaluate{mode}"))
            .header("authorization", &format!("Bearer {}", token(id)))
            .header("content-type", "application/json")
            .body(plan(&json!({})).to_string())
    };
    for mode in ["", "/advise", "/block"] {
        with(WRITER, mode).to(&running).await.expect(403, "forbidden");
        with(READER, mode).to(&running).await.expect(403, "forbidden");
        assert_eq!(with(DECIDER, mode).to(&running).await.status, 200);
    }
}

#[tokio::test]
async fn a_policy_that_runs_away_is_an_error_and_the_others_go_on() {
    let slow = "# METADATA\n# custom:\n#   id: slow\n#   resource_types: [test_queue]\npackage test.slow\n\n\
                n := numbers.range(1, 2000)\n\n\
                deny contains \"x\" if { some a in n; some b in n; some c in n; a + b + c == -1 }\n";
    let set = PolicySet::load(POLICIES.into_iter().chain([("slow.rego", slow)]), Config::default());
    let policies = InForce::new(set);
    let running = start_with(GatewayConfig { policies, ..config() }, Scripted::new(&[])).await;
    let told = ask("?mode=block", &plan(&json!({}))).to(&running).await.json();
    assert_eq!((&told["counts"]["deny"], &told["counts"]["error"]), (&json!(1), &json!(1)));
    assert_eq!(told["reasons"][1]["policy_id"], "slow");
    assert!(told["reasons"][1]["reasons"][0].as_str().is_some_and(|text| text.contains("cut off")), "{told}");
}

/// Budgets that say this about every plan.
#[derive(Debug, Clone)]
struct Fixed(Result<Vec<BudgetVerdict>, String>);

impl Budgets for Fixed {
    fn judge(
        &self,
        asked: PlanAsked,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<BudgetVerdict>, String>> + Send + '_>> {
        assert!(asked.plan()["resource_changes"].is_array() && asked.tenant.as_str() == "acme", "{asked:?}");
        Box::pin(async move { self.0.clone() })
    }
}

fn verdict(enforcement: Enforcement) -> BudgetVerdict {
    BudgetVerdict {
        budget: "cloud".into(),
        enforcement,
        period_start: "2026-11-01".parse().expect("a day"),
        period_end: "2026-12-01".parse().expect("a day"),
        amount: 1_000.into(),
        currency: "USD".into(),
        spent: 900.into(),
        forecast: None,
        monthly_delta: 150.into(),
        expected: 1_050.into(),
        over: 50.into(),
        reason: "the budget cloud would be exceeded by 50".into(),
    }
}

async fn with_budgets(said: Result<Vec<BudgetVerdict>, String>) -> Running {
    let budgets: Arc<dyn Budgets> = Arc::new(Fixed(said));
    start_with(GatewayConfig { policies: in_force(), budgets: Some(budgets), ..config() }, Scripted::new(&[]))
        .await
}

#[tokio::test]
async fn hard_budgets_deny_plans_and_soft_ones_warn() {
    for (enforcement, decision) in [(Enforcement::Hard, "deny"), (Enforcement::Soft, "warn")] {
        let running = with_budgets(Ok(vec![verdict(enforcement)])).await;
        let good = plan(&json!({"name": "q", "key": "k"}));
        let told = ask("?mode=block", &good).to(&running).await.json();
        assert_eq!(told["decision"], decision, "{told}");
        let budget = &told["budgets"][0];
        assert_eq!((&budget["budget"], &budget["over"]), (&json!("cloud"), &json!("50")));
        let event = running.kafka.published().pop().expect("a trace");
        let Event::Activity(activity) = &event.event else { panic!("activity") };
        assert_eq!(activity.outcome.code.as_deref(), Some(decision));
        assert_eq!(activity.outcome.message.as_deref(), Some("the budget cloud would be exceeded by 50"));
        // What is no plan costs nothing.
        let told = ask("", &pod(&json!({"memory": "1Gi"}))).to(&running).await.json();
        assert_eq!((&told["decision"], &told["budgets"]), (&json!("allow"), &json!([])));
    }
}

#[tokio::test]
async fn without_budgets_a_plan_is_not_decided_about_in_block_mode() {
    let running = with_budgets(Err("the database is away".into())).await;
    let good = plan(&json!({"name": "q", "key": "k"}));
    let refused = ask("?mode=block", &good).to(&running).await;
    refused.expect(503, "database-unavailable");
    assert!(running.kafka.published().is_empty(), "there is no decision");
    let told = ask("?mode=advise", &good).to(&running).await.json();
    assert_eq!((&told["decision"], &told["budgets"]), (&json!("allow"), &Value::Null));
    let unknown = deciding(&[]).await;
    let told = ask("?mode=block", &good).to(&unknown).await.json();
    assert_eq!((&told["decision"], &told["budgets"]), (&json!("allow"), &Value::Null));
}
