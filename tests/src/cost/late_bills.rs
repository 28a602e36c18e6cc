//! Anomalies while a bill is late, and first spends of resources that no bill names yet.

use schemas::{
    Envelope, Event, Topic,
    events::{Infrastructure, InfrastructureKind, Outcome, Resource},
};
use serde_json::Value;
use sinks::{
    cost_outlook::CostOutlook,
    query_api::{BudgetsPage, CostAnomalies, CostForecast},
};

use super::{
    budget::budget,
    fixture::{Place, at, charge, columns},
};
use crate::query_api::fixture::Api;

/// Cost of ten machines on a day, by the shipped prices: 10 × 24 × 0.0816.
const LIST_CENTS: i64 = 1_958;

/// A charge for a whole day, counted from the first of May 2025.
fn billed(n: u64, resource: &str, cents: i64, day: i64) -> Envelope {
    let mut envelope = charge(n, cents, day * 86_400, at("2025-06-16T00:00:00Z"));
    let usage = columns(&mut envelope);
    usage.resource_id = Some(resource.into());
    usage.charge_period_end = usage.charge_period_start + chrono::TimeDelta::days(1);
    envelope
}

/// Ten machines under one id.
#[derive(Clone, Copy)]
struct Group {
    id: &'static str,
    region: &'static str,
}

const IN_VIRGINIA: Group = Group { id: "i-00000000000000001", region: "us-east-1" };
const IN_IRELAND: Group = Group { id: "i-00000000000000002", region: "eu-west-1" };
const BEFORE_IN_IRELAND: Group = Group { id: "i-00000000000000003", region: "eu-west-1" };

/// Ten machines in a region come or go.
fn machines(n: u64, kind: InfrastructureKind, Group { id, region }: Group, when: &str) -> Envelope {
    let is_there = kind != InfrastructureKind::Deleted;
    let mut envelope = charge(n, 0, 0, at(when));
    envelope.event = Event::Infrastructure(Infrastructure {
        kind,
        resource: Resource {
            cloud: Some("aws".into()),
            account: Some("42".into()),
            region: Some(region.into()),
            kind: Some("AWS::EC2::Instance".into()),
            id: id.into(),
            ..Resource::default()
        },
        actor: None,
        outcome: Outcome::default(),
        change_id: None,
        quantity: is_there.then(|| "10".to_owned()),
        unit: is_there.then(|| "instances".to_owned()),
        configuration: is_there.then(|| r#"{"instanceType":"m7g.large"}"#.to_owned()),
    });
    envelope
}

/// The same machines on a bill in dollars.
fn billed_machines(n: u64, Group { id, region }: Group, cents: i64, day: i64) -> Envelope {
    let mut envelope = billed(n, id, cents, day);
    let usage = columns(&mut envelope);
    usage.provider_name = "AWS".into();
    usage.service_name = "Amazon Elastic Compute Cloud".into();
    usage.sub_account_id = Some("42".into());
    usage.region_id = Some(region.into());
    usage.billing_currency = "USD".into();
    envelope
}

async fn found(api: &Api, query: &str, kind: &str) -> Vec<String> {
    let found: CostAnomalies = api.get("acme", &format!("/api/v1/cost/anomalies?{query}")).await;
    let of_kind = found.items.into_iter().filter(|one| one.kind == kind);
    of_kind.map(|one| format!("{} {}", one.day, one.resource.or(one.region).unwrap_or_default())).collect()
}

#[tokio::test]
async fn the_days_that_a_bill_does_not_have_yet_are_no_anomalies() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    // To the 14th of June.
    let events: Vec<Envelope> = (0_u64..).zip(0..45).map(|(n, day)| billed(n, "R-1", 1_000, day)).collect();
    member.deliver(&events).await;
    let mut outlook = CostOutlook::new(&place.url).expect("an address");
    outlook.round(at("2025-06-17T08:00:00Z")).await.expect("a round");
    let values: Vec<Vec<u8>> = sqlx::query_scalar("SELECT value FROM outbox WHERE to_topic = $1")
        .bind(Topic::Findings.name())
        .fetch_all(&mut place.owner)
        .await
        .expect("the outbox");
    let findings = values.iter().map(|value| serde_json::from_slice::<Value>(value).expect("JSON"));
    let daily: Vec<Value> = findings.filter(|finding| finding["unmapped"]["kind"] == "daily").collect();
    assert!(daily.is_empty(), "{daily:?}");
}

#[tokio::test]
async fn a_resource_that_is_absent_while_others_of_its_account_are_billed_is_an_anomaly() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut events = Vec::new();
    for (n, day) in (0_u64..).zip(0..45) {
        events.push(billed(n, "R-1", 1_000, day));
        if day < 44 {
            events.push(billed(100 + n, "R-2", 1_000, day));
        }
    }
    member.deliver(&events).await;
    let asked = "from=2025-06-01&to=2025-06-17&known_at=2025-06-17T00:00:00Z";
    assert_eq!(found(&api, asked, "daily").await, ["2025-06-14 R-2"]);
}

#[tokio::test]
async fn list_prices_of_days_without_a_bill_are_not_compared_with_discounted_charges() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let place = IN_VIRGINIA;
    let mut events = vec![machines(1_000, InfrastructureKind::Provisioned, place, "2025-05-01T00:00:00Z")];
    events.extend((0_u64..).zip(0..45).map(|(n, day)| billed_machines(n, place, LIST_CENTS * 7 / 10, day)));
    member.deliver(&events).await;
    let asked = "from=2025-06-01&to=2025-06-17&known_at=2025-06-17T00:00:00Z";
    assert_eq!(found(&api, asked, "daily").await, Vec::<String>::new());
}

#[tokio::test]
async fn first_spends_know_what_accrued_before() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let (old, new) = (IN_VIRGINIA, IN_IRELAND);
    member
        .deliver(&[
            machines(1, InfrastructureKind::Provisioned, old, "2025-01-01T00:00:00Z"),
            machines(2, InfrastructureKind::Provisioned, new, "2025-05-31T00:00:00Z"),
        ])
        .await;
    let asked = "from=2025-05-20&to=2025-06-03&known_at=2025-06-03T00:00:00Z";
    assert_eq!(found(&api, asked, "first_spend").await, ["2025-05-31 eu-west-1"]);

    // A bill of January that comes later is not known at that instant.
    let mut january = billed_machines(3, new, LIST_CENTS, -110);
    january.occurred_at = at("2025-06-10T00:00:00Z");
    member.deliver(&[january]).await;
    assert_eq!(found(&api, asked, "first_spend").await, ["2025-05-31 eu-west-1"]);
    let later = asked.replace("known_at=2025-06-03", "known_at=2025-06-11");
    assert_eq!(found(&api, &later, "first_spend").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_region_in_which_something_accrued_before_the_examined_days_is_not_new() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let earlier = BEFORE_IN_IRELAND;
    member
        .deliver(&[
            machines(1, InfrastructureKind::Provisioned, IN_VIRGINIA, "2025-01-01T00:00:00Z"),
            machines(2, InfrastructureKind::Provisioned, earlier, "2025-01-01T00:00:00Z"),
            machines(3, InfrastructureKind::Deleted, earlier, "2025-01-10T00:00:00Z"),
            machines(4, InfrastructureKind::Provisioned, IN_IRELAND, "2025-05-31T00:00:00Z"),
        ])
        .await;
    let asked = "from=2025-05-20&to=2025-06-03&known_at=2025-06-03T00:00:00Z";
    assert_eq!(found(&api, asked, "first_spend").await, Vec::<String>::new());
}

#[tokio::test]
async fn forecasts_know_the_days_that_everybody_has_billed() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut events =
        vec![machines(1_000, InfrastructureKind::Provisioned, IN_VIRGINIA, "2025-05-01T00:00:00Z")];
    for (n, day) in (0_u64..).zip(0..47) {
        events.push(billed(n, "R-1", 1_000, day));
        // To the 14th of June; the machines accrue at list prices after it.
        if day < 45 {
            let mut late = billed(100 + n, "R-2", 1_000, day);
            columns(&mut late).provider_name = "Late".into();
            events.push(late);
            events.push(billed_machines(200 + n, IN_VIRGINIA, LIST_CENTS / 2, day));
        }
    }
    // Whoever has not billed for long is not waited for.
    let mut gone = billed(300, "R-3", 1, 0);
    columns(&mut gone).provider_name = "Gone".into();
    events.push(gone);
    events.push(budget(301, "june", "1000", &[("thresholds", "50")], at("2025-05-01T00:00:00Z")));
    member.deliver(&events).await;

    let forecast = async |to: &str| -> CostForecast {
        let asked = format!("/api/v1/cost/forecast?days=30&known_at=2025-06-17T00:00:00Z&to={to}");
        api.get("acme", &asked).await
    };
    let (late, cut) = (forecast("2025-06-17").await.forecasts, forecast("2025-06-15").await.forecasts);
    assert_eq!(late.len(), 2);
    assert_eq!(late, cut);
    assert!(late.iter().all(|one| one.known_until.to_string() == "2025-06-14"), "{late:?}");

    let asked = "/api/v1/cost/budgets?day=2025-06-17&forecast=true&known_at=2025-06-17T00:00:00Z";
    let page: BudgetsPage = api.get("acme", asked).await;
    let terms = page.items[0].terms.as_ref().expect("terms");
    let forecast = terms.forecast.as_ref().expect("a forecast");
    assert!((forecast.spent - 600.0).abs() < 1.0, "30 days of 20: {forecast:?}");
}
