//! Hard budgets deny plans, soft ones warn: in change review, and to whoever decides about plans.

use std::sync::Arc;

use costs::prices::PriceList;
use schemas::{
    Envelope, Native, changes::cost::Enforcement, envelope::native_format, events::InfrastructureKind,
};
use serde_json::{Value, json};
use sinks::{
    budget_standing::BudgetStanding,
    query_api::ChangeAnswer,
    read_models::change_review::{Decision, read::BudgetDecision},
};

use super::{
    budget::budget,
    fixture::{Place, at, charge, columns, tenant},
};
use crate::{
    change_review::fixture::{Place as ChangePlace, asked, decided, infrastructure},
    query_api::fixture::Api,
};

/// 0.384 an hour, and 8 GB of disk: 281.12 USD by the month.
fn plan(count: usize, team: &str) -> Value {
    let change = |number: usize| {
        json!({
            "address": format!("aws_instance.web[{number}]"), "mode": "managed", "type": "aws_instance", "name": "web",
            "change": {
                "actions": ["create"], "before": null, "after_unknown": {},
                "after": {"instance_type": "m5.2xlarge", "availability_zone": "us-east-1a", "tags": {"team": team}},
            },
        })
    };
    let changes: Vec<Value> = (0..count).map(change).collect();
    json!({"format_version": "1.2", "terraform_version": "1.9.0", "complete": true, "errored": false,
           "resource_changes": changes})
}

fn proposed(n: u64, change: &str, plan: &Value, seconds: i64) -> Envelope {
    let mut envelope = infrastructure(n, change, InfrastructureKind::ChangeProposed, seconds);
    let record = plan.to_string().into();
    envelope.native = Some(Native { format: native_format::TERRAFORM_PLAN.into(), record });
    envelope
}

/// 500 USD were spent in November 2023, by team core, before anything was proposed.
fn spent() -> Envelope {
    let mut envelope = charge(1, 50_000, 0, at("2023-11-10T00:00:00Z"));
    let usage = columns(&mut envelope);
    usage.billing_currency = "USD".into();
    usage.charge_period_start = at("2023-11-05T00:00:00Z");
    usage.charge_period_end = at("2023-11-06T00:00:00Z");
    envelope
}

async fn change(api: &Api, id: &str) -> ChangeAnswer {
    api.get("acme", &format!("/api/v1/changes/{id}")).await
}

#[tokio::test]
async fn a_plan_that_breaks_a_hard_budget_is_blocked_and_a_soft_one_warns() {
    let api = Api::start().await;
    let mut costs = Place::at(api.database.clone()).await.member(0).await;
    let mut changes = ChangePlace::at(api.database.clone()).await.member(0).await;
    let usd = ("currency", "USD");
    costs
        .deliver(&[
            spent(),
            budget(10, "all", "700", &[usd, ("enforcement", "hard")], at("2023-11-01T00:00:00Z")),
            budget(11, "core", "600", &[usd, ("team", "core")], at("2023-11-01T00:00:00Z")),
            budget(
                12,
                "euros",
                "1",
                &[("currency", "EUR"), ("enforcement", "hard")],
                at("2023-11-01T00:00:00Z"),
            ),
        ])
        .await;
    changes
        .deliver(&[
            proposed(100, "CR-over", &plan(1, "core"), 0),
            asked(101, "CR-over", "ada", 1),
            decided(102, "CR-over", ("bob", "approved"), 2),
            proposed(103, "CR-none", &plan(0, "core"), 0),
        ])
        .await;
    let over = change(&api, "CR-over").await.item;
    assert_eq!((over.change.budget, over.change.decision), (BudgetDecision::Deny, Some(Decision::Blocked)));
    let told: Vec<_> = over
        .budgets
        .iter()
        .map(|verdict| (verdict.budget.as_str(), verdict.expected.to_string(), verdict.over.to_string()))
        .collect();
    let expected = [
        ("all", "781.12".to_owned(), "81.12".to_owned()),
        ("core", "781.12".to_owned(), "181.12".to_owned()),
        ("euros", "0".to_owned(), "0".to_owned()),
    ];
    assert_eq!(told, expected);
    let euros = &over.budgets[2];
    assert!(
        euros.enforcement == Enforcement::Soft && euros.reason.contains("weir prices import"),
        "{euros:?}"
    );
    assert!(over.budgets[0].reason.contains("hard budget all") && over.budgets[0].reason.contains("81.12"));
    let impossible = over.impossible[0].impossible.as_deref();
    assert_eq!(impossible, Some("approved although a hard budget blocks it"));
    let none = change(&api, "CR-none").await.item;
    assert_eq!((none.change.budget, none.budgets.len()), (BudgetDecision::Within, 0));

    // The budget is raised, and the plan proposed again.
    costs
        .deliver(&[budget(13, "all", "800", &[usd, ("enforcement", "hard")], at("2023-11-14T22:14:00Z"))])
        .await;
    changes.deliver(&[proposed(104, "CR-over", &plan(1, "core"), 100)]).await;
    let warned = change(&api, "CR-over").await.item;
    assert_eq!(warned.change.budget, BudgetDecision::Warn);
    assert_ne!(warned.change.decision, Some(Decision::Blocked));

    // A proposal that was reviewed before its costs were known is judged anew with the next event.
    changes.deliver(&[proposed(105, "CR-late", &plan(1, "core"), 200)]).await;
    assert_eq!(change(&api, "CR-late").await.item.change.budget, BudgetDecision::Warn);
    let mut more = spent();
    more.id = schemas::EventId::new(uuid::Uuid::from_u128(77)).expect("not nil");
    costs.deliver(&[more]).await;
    changes.deliver(&[asked(106, "CR-late", "ada", 201)]).await;
    assert_eq!(change(&api, "CR-late").await.item.change.budget, BudgetDecision::Deny);
}

/// Verdicts and reviews, in order.
async fn judged(changes: &mut ChangePlace) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT concat_ws(' ', r.change_id, r.approval, r.decision, r.provisioning, r.route, r.proposal_event_id,
                          r.impossible_total, b.event_id, b.budget, b.hard, b.verdict)
           FROM change_review AS r
           LEFT JOIN change_fact AS f ON f.tenant_id = r.tenant_id AND f.change_id = r.change_id AND f.kind = 'ChangeProposed'
           LEFT JOIN change_budget AS b ON b.tenant_id = f.tenant_id AND b.event_id = f.event_id
          ORDER BY 1",
    )
    .fetch_all(&mut changes.owner)
    .await
    .expect("rows")
}

#[tokio::test]
async fn batches_and_their_order_change_no_verdict() {
    let events = [
        proposed(100, "CR-1", &plan(1, "core"), 0),
        infrastructure(101, "CR-1", InfrastructureKind::Provisioned, 1),
        // Cheaper, and impossible where the first was applied.
        proposed(102, "CR-1", &plan(0, "core"), 2),
    ];
    let mut found = Vec::new();
    for (size, reversed) in [(3, false), (1, false), (3, true), (1, true)] {
        let costs = Place::new().await;
        let hard = [("currency", "USD"), ("enforcement", "hard")];
        let all = budget(10, "all", "700", &hard, at("2023-11-01T00:00:00Z"));
        costs.member(0).await.deliver(&[spent(), all]).await;
        let mut changes = ChangePlace::at(costs.url.clone()).await;
        let mut member = changes.member(0).await;
        let mut events = events.to_vec();
        if reversed {
            events.reverse();
        }
        for batch in events.chunks(size) {
            member.deliver(batch).await;
        }
        found.push(judged(&mut changes).await);
    }
    assert!(found[0].iter().any(|row| row.contains(" all t ")), "the first is denied: {found:#?}");
    assert!(found.iter().all(|one| *one == found[0]), "{found:#?}");
}

#[tokio::test]
async fn no_later_bill_makes_an_approval_impossible() {
    let api = Api::start().await;
    let mut costs = Place::at(api.database.clone()).await.member(0).await;
    let mut changes = ChangePlace::at(api.database.clone()).await.member(0).await;
    let hard = [("currency", "USD"), ("enforcement", "hard")];
    costs.deliver(&[spent(), budget(10, "all", "800", &hard, at("2023-11-01T00:00:00Z"))]).await;
    let mut more = spent();
    more.id = schemas::EventId::new(uuid::Uuid::from_u128(77)).expect("not nil");
    let gateway = json!({"format_version": "1.2", "complete": true, "errored": false, "resource_changes": [{
        "address": "aws_nat_gateway.a", "mode": "managed", "type": "aws_nat_gateway", "name": "a",
        "change": {"actions": ["create"], "before": null, "after": {"availability_zone": "us-east-1a"},
                   "after_unknown": {}},
    }]});
    // It costs 281.12 a month, and a deletion beside it has to be approved by two.
    let mut approved = plan(1, "core");
    let deletion = json!({
        "address": "aws_db_instance.a", "mode": "managed", "type": "aws_db_instance", "name": "a",
        "change": {"actions": ["delete"], "before": {}, "after": null, "after_unknown": {}},
    });
    approved["resource_changes"].as_array_mut().expect("changes").push(deletion);
    changes
        .deliver(&[
            proposed(100, "CR-approved", &approved, 0),
            asked(101, "CR-approved", "ada", 1),
            decided(102, "CR-approved", ("bob", "approved"), 2),
            decided(107, "CR-approved", ("eve", "approved"), 2),
            proposed(103, "CR-applied", &gateway, 0),
            infrastructure(104, "CR-applied", InfrastructureKind::Provisioned, 1),
        ])
        .await;
    costs.deliver(&[more]).await;
    changes
        .deliver(&[
            infrastructure(105, "CR-approved", InfrastructureKind::Provisioned, 3),
            infrastructure(106, "CR-applied", InfrastructureKind::Completed, 3),
        ])
        .await;
    for (id, decision) in [("CR-approved", Decision::Approved), ("CR-applied", Decision::Auto)] {
        let item = change(&api, id).await.item;
        assert_eq!(
            (item.change.decision, item.change.budget),
            (Some(decision), BudgetDecision::Within),
            "{id}"
        );
        assert_eq!(item.impossible, [], "{id}");
    }
}

#[tokio::test]
async fn whoever_decides_about_plans_knows_how_budgets_stand() {
    let api = Api::start().await;
    let mut costs = Place::at(api.database.clone()).await.member(0).await;
    let usd = ("currency", "USD");
    costs
        .deliver(&[
            spent(),
            budget(
                10,
                "shop",
                "700",
                &[usd, ("project", "shop"), ("enforcement", "hard")],
                at("2023-11-01T00:00:00Z"),
            ),
            budget(11, "core", "700", &[usd, ("team", "core")], at("2023-11-01T00:00:00Z")),
        ])
        .await;
    let standing = BudgetStanding::new(&api.database, Arc::new(PriceList::examples())).expect("an address");
    let now = at("2023-11-20T00:00:00Z");
    let ask = async |of: &str, project: Option<&'static str>, plan: Value| {
        let verdicts =
            standing.judge(&tenant(of), (project, &plan), now).await.expect("the database answers");
        verdicts.iter().map(|verdict| (verdict.budget.clone(), verdict.over.to_string())).collect::<Vec<_>>()
    };
    let over = |name: &str, over: &str| (name.to_owned(), over.to_owned());
    assert_eq!(ask("acme", None, plan(1, "core")).await, [over("core", "81.12")]);
    assert_eq!(ask("acme", Some("shop"), plan(3, "other")).await, [over("shop", "143.36")]);
    assert_eq!(ask("acme", Some("shop"), plan(0, "core")).await, []);
    assert_eq!(ask("other", Some("shop"), plan(9, "core")).await, []);
}

#[tokio::test]
async fn a_hard_budget_after_a_hundred_soft_ones_denies() {
    let api = Api::start().await;
    let mut costs = Place::at(api.database.clone()).await.member(0).await;
    let mut changes = ChangePlace::at(api.database.clone()).await.member(0).await;
    let usd = ("currency", "USD");
    let since = at("2023-11-01T00:00:00Z");
    let mut events: Vec<Envelope> =
        (0..100).map(|n| budget(10 + n, &format!("a-{n:03}"), "100000", &[usd], since)).collect();
    events.push(budget(200, "z", "200", &[usd, ("enforcement", "hard")], since));
    events.push(spent());
    costs.deliver(&events).await;
    changes.deliver(&[proposed(300, "CR-over", &plan(1, "core"), 0)]).await;
    let over = change(&api, "CR-over").await.item;
    let names: Vec<&str> = over.budgets.iter().map(|verdict| verdict.budget.as_str()).collect();
    assert_eq!((over.change.budget, names), (BudgetDecision::Deny, vec!["z"]));

    let standing = BudgetStanding::new(&api.database, Arc::new(PriceList::examples())).expect("an address");
    let now = at("2023-11-20T00:00:00Z");
    for _ in 0..2 {
        let verdicts = standing.judge(&tenant("acme"), (None, &plan(1, "core")), now).await;
        let verdicts = verdicts.expect("the database answers");
        let told: Vec<_> = verdicts.iter().map(|verdict| (&*verdict.budget, verdict.enforcement)).collect();
        assert_eq!(told, [("z", Enforcement::Hard)]);
    }
}
