//! Recommendations from what is stored: charges, accrual, measurements and prices; decisions, and what became of them.

use reqwest::StatusCode;
use schemas::{
    Envelope, Event,
    changes::cost::{Grade, RecommendationKind},
    events::{
        Actor, ActorKind, Governance, GovernanceKind, Infrastructure, InfrastructureKind, Monitoring,
        MonitoringKind, Outcome, Resource,
    },
};
use sinks::{
    query_api::CostRecommendations,
    read_models::cost::read::{Recommendation, RecommendationStatus},
};

use super::fixture::{Place, at, charge, columns};
use crate::{
    query_api::fixture::Api,
    support::projection::{in_batches, shuffled},
};

const IDLE: &str = "i-00000000000000001";
const LARGE: &str = "i-00000000000000002";
/// 0.384 USD an hour, of which 30 days are 276.48.
const TYPE: &str = r#"{"instanceType":"m5.2xlarge"}"#;

fn machine(id: &str) -> Resource {
    Resource {
        cloud: Some("aws".into()),
        account: Some("42".into()),
        region: Some("us-east-1".into()),
        kind: Some("AWS::EC2::Instance".into()),
        id: id.into(),
        tags: [("environment".to_owned(), "staging".to_owned())].into(),
        ..Resource::default()
    }
}

fn happened(n: u64, kind: InfrastructureKind, id: &str, when: &str) -> Envelope {
    let mut envelope = charge(n, 0, 0, at(when));
    envelope.event = Event::Infrastructure(Infrastructure {
        kind,
        resource: machine(id),
        actor: None,
        outcome: Outcome::default(),
        change_id: None,
        quantity: None,
        unit: None,
        configuration: Some(TYPE.to_owned()),
    });
    envelope
}

fn measured(n: u64, id: &str, (name, value): (&str, String), hour: i64) -> Envelope {
    let when = at("2025-06-01T00:30:00Z") + chrono::TimeDelta::hours(hour);
    let mut envelope = charge(n, 0, 0, when);
    envelope.event = Event::Monitoring(Monitoring {
        kind: MonitoringKind::UtilisationMeasured,
        subject: machine(id),
        name: name.into(),
        severity: None,
        status: None,
        value: Some(value),
        threshold: None,
        unit: Some("Percent".into()),
        message: None,
    });
    envelope
}

fn decided(n: u64, id: &str, decision: &str, when: &str) -> Envelope {
    let mut envelope = charge(n, 0, 0, at(when));
    envelope.event = Event::Governance(Governance {
        kind: GovernanceKind::FindingTriaged,
        subject_kind: "cost_recommendation".into(),
        subject_id: id.into(),
        actor: Actor { kind: ActorKind::User, id: "ada".into(), ..Actor::default() },
        decision: Some(decision.into()),
        reason: Some("nobody knows it".into()),
        expires_at: None,
        attributes: [].into(),
    });
    envelope
}

/// A database that somebody is billed 10 a day for, with one day of 40.
fn billed(n: u64, day: i64) -> Envelope {
    let cents = if day == 20 { 4_000 } else { 1_000 };
    let mut envelope = charge(n, cents, day * 86_400, at("2025-05-20T00:00:00Z"));
    let usage = columns(&mut envelope);
    (usage.provider_name, usage.service_category) = ("AWS".into(), Some("Databases".into()));
    (usage.service_name, usage.billing_currency) = ("RDS".into(), "USD".into());
    usage.resource_id = Some(format!("db-{day}"));
    usage.charge_period_end = usage.charge_period_start + chrono::TimeDelta::days(1);
    envelope
}

/// Two machines since May, measured by the hour for the first two weeks of June; and a bill.
fn events() -> Vec<Envelope> {
    let mut events = vec![
        happened(1, InfrastructureKind::Provisioned, IDLE, "2025-05-01T00:00:00Z"),
        happened(2, InfrastructureKind::Provisioned, LARGE, "2025-05-01T00:00:00Z"),
    ];
    let mut n = 100;
    for hour in 0..14 * 24 {
        let mut push = |id, name, value: i64| {
            n += 1;
            events.push(measured(n, id, (name, value.to_string()), hour));
        };
        push(IDLE, "CPUUtilization", 1 + hour % 2);
        push(LARGE, "CPUUtilization", 9 + hour % 3);
        push(LARGE, "mem_used_percent", 15);
    }
    events.extend((0..45_u64).map(|day| billed(10_000 + day, i64::try_from(day).expect("small"))));
    events
}

async fn asked(api: &Api, question: &str) -> CostRecommendations {
    api.get("acme", &format!("/api/v1/cost/recommendations?{question}")).await
}

fn told(items: &[Recommendation]) -> Vec<(RecommendationKind, &str, &str)> {
    items.iter().map(|item| (item.kind, item.id.as_str(), item.monthly_saving.as_str())).collect()
}

const NOW: &str = "as_of=2025-06-15T00:00:00Z";

/// A line of a report of AWS about the idle machine: amounts in cents, billed and effective.
fn line(n: u64, sku: &str, billed: i64, effective: i64, day: i64) -> Envelope {
    let mut envelope = charge(n, billed, day * 86_400, at("2025-05-20T00:00:00Z"));
    let usage = columns(&mut envelope);
    (usage.provider_name, usage.billing_currency) = ("AWS".into(), "USD".into());
    usage.resource_id = Some(IDLE.into());
    usage.charge_period_end = usage.charge_period_start + chrono::TimeDelta::days(1);
    usage.effective_cost = Some(rust_decimal::Decimal::new(effective, 2));
    usage.other_columns.insert("SkuId".into(), sku.into());
    envelope
}

#[tokio::test]
async fn what_a_savings_plan_covers_costs_what_the_plan_does() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut events = Vec::new();
    for (n, day) in (10_000_u64..).zip(0..45) {
        events.push(line(n, "covered", 1_000, 700, day));
        // The plan takes the price on demand off the bill.
        events.push(line(n + 1_000, "negation", -1_000, 0, day));
    }
    let idle = (100_u64..).zip(0..14 * 24);
    events.extend(idle.map(|(n, hour)| measured(n, IDLE, ("CPUUtilization", "1".to_owned()), hour)));
    for batch in events.chunks(400) {
        member.deliver(batch).await;
    }
    let found = asked(&api, NOW).await;
    let idle: Vec<_> = found.items.iter().filter(|item| item.kind == RecommendationKind::Idle).collect();
    let costs: Vec<&str> = idle.iter().map(|item| item.monthly_cost.as_str()).collect();
    assert_eq!(costs, ["210"], "{:?}", found.items);
}

#[tokio::test]
async fn what_nobody_uses_is_recommended_with_its_evidence() {
    use RecommendationKind::{Commitment, Idle, RightSize};
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    for batch in events().chunks(400) {
        member.deliver(batch).await;
    }
    let found = asked(&api, NOW).await;
    let expected = [
        (Idle, "idle:USD:i-00000000000000001", "276.48"),
        (RightSize, "right_size:USD:i-00000000000000002", "207.36"),
        (Commitment, "commitment:USD:AWS/A-1/RDS/eu-west-1", "87"),
    ];
    assert_eq!(told(&found.items), expected, "{found:#?}");
    assert_eq!((found.totals[0].monthly_saving.as_str(), found.totals[0].recommendations), ("570.84", 3));
    assert!(found.complete);
    let idle = &found.items[0];
    assert_eq!(
        (idle.priority, idle.risk, idle.status),
        (Grade::High, Grade::Low, RecommendationStatus::Open)
    );
    assert_eq!((idle.resource.as_deref(), idle.environment.as_deref()), (Some(IDLE), Some("staging")));
    let cpu = &idle.evidence.utilisation[0];
    assert_eq!((cpu.metric.as_str(), cpu.samples, cpu.days, cpu.events.len()), ("cpu_percent", 336, 14, 3));
    assert!((cpu.p95 - 2.0).abs() < 1e-9 && (cpu.mean - 1.5).abs() < 1e-9, "{cpu:?}");
    let charges = &idle.evidence.charges;
    assert_eq!(
        (charges.days, charges.cost.as_str(), charges.to.to_string()),
        (30, "276.48", "2025-06-15".to_owned())
    );
    let price = found.items[1].evidence.price.as_ref().expect("a price");
    assert_eq!((price.sku.as_str(), price.target_sku.as_deref()), ("m5.2xlarge", Some("m5.large")));
    assert_eq!((price.unit_price.as_str(), price.target_unit_price.as_deref()), ("0.384", Some("0.096")));

    let only = asked(&api, &format!("{NOW}&kind=right_size&limit=1")).await;
    assert_eq!(only.items, found.items[1..2]);
    assert!(
        asked(&api, "as_of=2025-06-04T00:00:00Z&kind=idle").await.items.is_empty(),
        "three days were measured"
    );
    assert!(asked(&api, &format!("{NOW}&region=eu-central-1")).await.items.is_empty());
    let foreign: CostRecommendations = api.get("other", &format!("/api/v1/cost/recommendations?{NOW}")).await;
    assert!(foreign.items.is_empty());
    assert_eq!(api.refused("acme", "/api/v1/cost/recommendations?kind=magic").await, "invalid-query");
    assert_eq!(api.ask("acme", "/api/v1/cost/recommendations?status=open").await.0, StatusCode::OK);
}

#[tokio::test]
async fn decisions_hold_and_savings_are_looked_for() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    for batch in events().chunks(400) {
        member.deliver(batch).await;
    }
    let (idle, large) = ("idle:USD:i-00000000000000001", "right_size:USD:i-00000000000000002");
    member
        .deliver(&[
            decided(20_001, idle, "accepted", "2025-06-15T08:00:00Z"),
            decided(20_002, large, "dismissed", "2025-06-15T08:00:00Z"),
            decided(20_003, large, "perhaps", "2025-06-15T09:00:00Z"),
            decided(20_004, "idle:USD:nothing", "accepted", "2025-06-15T09:00:00Z"),
            happened(20_005, InfrastructureKind::Deleted, IDLE, "2025-06-16T00:00:00Z"),
            // Time is known to go on.
            happened(20_006, InfrastructureKind::Scaled, LARGE, "2025-07-20T00:00:00Z"),
        ])
        .await;
    assert_eq!(asked(&api, NOW).await.items.len(), 3, "nothing was decided by then");
    let later = "as_of=2025-06-15T12:00:00Z";
    let open = asked(&api, later).await;
    assert_eq!(open.items.iter().map(|item| item.kind).collect::<Vec<_>>(), [RecommendationKind::Commitment]);
    let dismissed = asked(&api, &format!("{later}&status=dismissed")).await;
    assert_eq!(dismissed.items[0].id, large);
    assert_eq!(
        dismissed.items[0].decision.as_ref().and_then(|of| of.reason.as_deref()),
        Some("nobody knows it")
    );

    let early = asked(&api, "as_of=2025-06-18T00:00:00Z&status=accepted").await;
    assert_eq!(early.items[0].outcome.as_ref().expect("an outcome").state, "too_early");
    let after = asked(&api, "as_of=2025-06-26T00:00:00Z&status=accepted").await;
    assert_eq!(told(&after.items), [(RecommendationKind::Idle, idle, "276.48")]);
    let outcome = after.items[0].outcome.as_ref().expect("an outcome");
    assert_eq!(
        (outcome.state.as_str(), outcome.realised_monthly_saving.as_deref(), outcome.days),
        ("came", Some("276.48"), 10)
    );

    member.deliver(&[decided(20_007, large, "reopened", "2025-06-15T13:00:00Z")]).await;
    let open = asked(&api, "as_of=2025-06-15T14:00:00Z").await;
    assert_eq!(open.items[0].id, large);
    let all = asked(&api, "as_of=2025-06-15T14:00:00Z&status=all").await;
    assert_eq!(all.items.len(), 3);
}

#[tokio::test]
async fn order_and_repeats_change_nothing() {
    let mut expected: Option<Vec<Recommendation>> = None;
    for seed in 0..3_u64 {
        let api = Api::start().await;
        let mut member = Place::at(api.database.clone()).await.member(0).await;
        let mut events = events();
        events.push(decided(20_001, "idle:USD:i-00000000000000001", "accepted", "2025-06-14T08:00:00Z"));
        if seed > 0 {
            let repeats = events[..200].to_vec();
            events.extend(repeats);
            events = shuffled(events, seed);
        }
        for batch in in_batches(&events, 300) {
            member.deliver(&batch).await;
        }
        let mut found = asked(&api, &format!("{NOW}&status=all")).await.items;
        for item in &mut found {
            item.evidence.utilisation.sort_by(|a, b| a.metric.cmp(&b.metric));
        }
        assert_eq!(found.len(), 3, "seed {seed}");
        assert_eq!(expected.get_or_insert_with(|| found.clone()), &found, "seed {seed}");
    }
}
