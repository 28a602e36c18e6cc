//! Anomalies with their event and actor, and forecasts, of charges as they are stored.

use rust_decimal::Decimal;
use schemas::{
    Envelope, Event,
    events::{Actor, ActorKind, Infrastructure, InfrastructureKind, Outcome, Resource},
};
use sinks::query_api::{BudgetsPage, CostAnomalies, CostForecast};

use super::{
    budget::budget,
    fixture::{Place, at, charge, columns},
};
use crate::query_api::fixture::Api;

const DAYS: i64 = 60;

/// Pairs of resources, one of which costs more on the day on which the other costs less. `WEIR_PLANTED_PAIRS` sets more.
fn planted_pairs() -> u64 {
    std::env::var("WEIR_PLANTED_PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Days are counted from the first of May 2025, a Thursday.
fn cost_of(resource: u64, day: i64) -> i64 {
    let weekend = if matches!((day + 3) % 7, 5 | 6) { 60 } else { 100 };
    let wobble =
        i64::try_from((resource * 31 + u64::try_from(day).expect("positive") * 17) % 7).expect("small");
    let level = 1_000 + i64::try_from(resource).expect("small") * 50;
    level * weekend / 100 + wobble * level / 200
}

fn of_resource(n: u64, resource: &str, cents: i64, day: i64) -> Envelope {
    let mut envelope = charge(n, cents, day * 86_400, at("2025-07-01T00:00:00Z"));
    let usage = columns(&mut envelope);
    usage.resource_id = Some(resource.into());
    usage.charge_period_end = usage.charge_period_start + chrono::TimeDelta::days(1);
    usage.other_columns.insert("SkuId".into(), "SKU-1".into());
    envelope
}

fn scaled(n: u64, resource: &str, day: i64, actor: &str) -> Envelope {
    let when = at("2025-05-01T09:00:00Z") + chrono::TimeDelta::days(day);
    let mut envelope = charge(n, 0, 0, when);
    envelope.event = Event::Infrastructure(Infrastructure {
        kind: InfrastructureKind::Scaled,
        resource: Resource { id: resource.into(), region: Some("eu-west-1".into()), ..Resource::default() },
        actor: Some(Actor { kind: ActorKind::User, id: actor.into(), ..Actor::default() }),
        outcome: Outcome::default(),
        change_id: None,
        quantity: None,
        unit: None,
        configuration: None,
    });
    envelope
}

/// The anomalies of a view; a day at a time if they are more than fit one answer.
async fn anomalies_of_june(api: &Api, view: &str) -> CostAnomalies {
    let mut found: CostAnomalies = api.get("acme", &format!("/api/v1/cost/anomalies?{view}")).await;
    if found.complete {
        return found;
    }
    found.items.clear();
    for day in 10..30 {
        let view =
            format!("from=2025-06-{day}&to=2025-06-{}&known_at=2025-07-01T00:00:00Z&limit=1000", day + 1);
        let of_day: CostAnomalies = api.get("acme", &format!("/api/v1/cost/anomalies?{view}")).await;
        assert!(of_day.complete, "2025-06-{day}");
        found.items.extend(of_day.items);
    }
    found
}

/// Region, day, cost and severity of each first spend.
fn first_spends(found: &CostAnomalies) -> Vec<String> {
    let first = found.items.iter().filter(|anomaly| anomaly.kind == "first_spend");
    first
        .map(|one| {
            let region = one.region.as_deref().unwrap_or_default();
            format!("{region} {} {} {}", one.day, one.actual, one.severity)
        })
        .collect()
}

#[tokio::test]
async fn anomalies_that_cancel_each_other_out_are_found_with_event_and_actor() {
    let pairs = planted_pairs();
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let (mut n, mut events) = (0, Vec::new());
    let mut next = || {
        n += 1;
        n
    };
    for resource in 0..2 * pairs {
        let (name, planted) =
            (format!("R-{resource}"), 45 + i64::try_from(resource / 2 % 10).expect("small"));
        let amount = cost_of(resource & !1, planted) * 6 / 10;
        for day in 0..DAYS {
            let sign = if resource % 2 == 0 { 1 } else { -1 };
            let extra = if day == planted { sign * amount } else { 0 };
            events.push(of_resource(next(), &name, cost_of(resource, day) + extra, day));
        }
        events.push(scaled(next(), &name, planted, &format!("actor-{resource}")));
    }
    // A region that never cost anything.
    let mut new = of_resource(next(), "R-new", 900, 50);
    columns(&mut new).region_id = Some("sa-east-1".into());
    events.push(new);
    // Another one, in which no resource costs a unit on the first day, but all together do.
    for (resource, cents, day) in [("R-a", 40, 51), ("R-b", 40, 51), ("R-c", 40, 51), ("R-a", 500, 53)] {
        let mut small = of_resource(next(), resource, cents, day);
        columns(&mut small).region_id = Some("ap-south-1".into());
        events.push(small);
    }
    for batch in events.chunks(500) {
        member.deliver(batch).await;
    }
    let view = "from=2025-06-10&to=2025-06-30&known_at=2025-07-01T00:00:00Z&limit=1000";
    let found = anomalies_of_june(&api, view).await;
    let (mut right, mut explained) = (0, 0);
    for anomaly in found.items.iter().filter(|anomaly| anomaly.kind == "daily") {
        let resource = anomaly.resource.as_deref().expect("a resource");
        let number: u64 = resource.trim_start_matches("R-").parse().unwrap_or(u64::MAX);
        let planted = 45 + i64::try_from(number / 2 % 10).unwrap_or_default();
        if number < 2 * pairs && (anomaly.day - at("2025-05-01T00:00:00Z").date_naive()).num_days() == planted
        {
            right += 1;
            assert!((anomaly.actual - anomaly.expected - anomaly.impact).abs() < 0.001, "{anomaly:?}");
            assert!(anomaly.impact.abs() >= 1.0 && anomaly.expected_low <= anomaly.expected_high);
            assert_eq!((anomaly.dimension.as_str(), anomaly.dimension_value.as_str()), ("sku", "SKU-1"));
            let actor = anomaly.cause.as_ref().and_then(|cause| cause.actor.as_deref());
            explained += u64::from(actor == Some(format!("actor-{number}").as_str()));
        }
    }
    assert!(right * 100 >= 2 * pairs * 95, "{right} of {} found: {found:#?}", 2 * pairs);
    assert_eq!(explained, right, "each with its event and actor");
    let wrong = found.items.iter().filter(|anomaly| anomaly.kind == "daily").count() as u64 - right;
    assert!(wrong <= pairs, "{wrong} false alarms in {} days", 2 * pairs * 20);
    let expected = ["sa-east-1 2025-06-20 9 high", "ap-south-1 2025-06-21 1.2 high"];
    assert_eq!(first_spends(&found), expected);
    // Charges by tag are read from the days of series, without groups.
    let of_day = "from=2025-06-21&to=2025-06-22&known_at=2025-07-01T00:00:00Z&limit=1000&tag=team%3Dcore";
    let by_tag: CostAnomalies = api.get("acme", &format!("/api/v1/cost/anomalies?{of_day}")).await;
    assert_eq!(first_spends(&by_tag), expected[1..]);

    let before: CostAnomalies = api.get("acme", "/api/v1/cost/anomalies?known_at=2025-06-01T00:00:00Z").await;
    assert!(before.items.is_empty(), "nothing was known by then");
    let few: CostAnomalies =
        api.get("acme", &format!("/api/v1/cost/anomalies?{}", view.replace("1000", "3"))).await;
    assert_eq!((few.items.len(), few.complete), (3, false));
    assert!(few.items[0].impact.abs() >= few.items[2].impact.abs());
    let foreign: CostAnomalies = api.get("other", &format!("/api/v1/cost/anomalies?{view}")).await;
    assert!(foreign.items.is_empty());
}

#[tokio::test]
async fn a_weekly_course_goes_on_and_purchases_stand_apart() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut events: Vec<Envelope> = (0_u64..)
        .zip(0..DAYS)
        .map(|(n, day)| {
            of_resource(n, "R-1", if matches!((day + 3) % 7, 5 | 6) { 4_000 } else { 10_000 }, day)
        })
        .collect();
    let mut upfront = of_resource(1_000, "R-1", 9_999_999, 20);
    columns(&mut upfront).charge_category = "Purchase".into();
    columns(&mut upfront).effective_cost = Some(Decimal::ZERO);
    events.push(upfront);
    events.push(budget(
        1_001,
        "all",
        "2500",
        &[("cost", "effective"), ("thresholds", "50,90,110,150")],
        at("2025-05-01T00:00:00Z"),
    ));
    member.deliver(&events).await;
    let asked = "known_at=2025-07-01T00:00:00Z&to=2025-06-30";
    let answer: CostForecast = api.get("acme", &format!("/api/v1/cost/forecast?{asked}")).await;
    let found = &answer.forecasts[0];
    assert_eq!((found.currency.as_str(), found.days.len()), ("EUR", 90));
    assert_eq!(found.known_until.to_string(), "2025-06-29");
    assert_eq!(found.days[0].day.to_string(), "2025-06-30");
    for day in &found.days {
        let weekend =
            matches!(chrono::Datelike::weekday(&day.day), chrono::Weekday::Sat | chrono::Weekday::Sun);
        let expected = if weekend { 40.0 } else { 100.0 };
        assert!((day.expected - expected).abs() < 0.5, "{day:?}");
        assert!(day.low_95 <= day.low_80 && day.low_80 <= day.expected && day.high_80 <= day.high_95);
    }
    let purchases: Vec<_> =
        found.purchases.iter().map(|one| (one.day.to_string(), one.billed_cost.as_str())).collect();
    assert_eq!(purchases, [("2025-05-21".to_owned(), "99999.99")]);
    let week: CostForecast = api.get("acme", &format!("/api/v1/cost/forecast?days=7&{asked}")).await;
    assert_eq!(week.forecasts[0].days.len(), 7);
    let short: CostForecast =
        api.get("acme", "/api/v1/cost/forecast?known_at=2025-07-01T00:00:00Z&to=2025-05-10").await;
    assert_eq!((short.forecasts[0].model.as_deref(), short.forecasts[0].days.len()), (None, 0));
    assert_eq!(api.refused("acme", "/api/v1/cost/forecast?days=0").await, "invalid-query");

    let page: BudgetsPage = api
        .get("acme", "/api/v1/cost/budgets?day=2025-06-30&forecast=true&known_at=2025-07-01T00:00:00Z")
        .await;
    assert!(page.items[0].terms.as_ref().expect("terms").forecast.is_none(), "June is over");
    // July has 23 weekdays and 8 days of weekends.
    let page: BudgetsPage = api
        .get("acme", "/api/v1/cost/budgets?day=2025-07-01&forecast=true&known_at=2025-07-01T00:00:00Z")
        .await;
    let forecast =
        page.items[0].terms.as_ref().and_then(|terms| terms.forecast.as_ref()).expect("a forecast");
    assert!(
        (forecast.spent - 2_620.0).abs() < 5.0 && (forecast.spent_percent - 104.8).abs() < 0.5,
        "{forecast:?}"
    );
    let reached: Vec<_> =
        forecast.thresholds.iter().map(|one| (one.percent, one.day.map(|day| day.to_string()))).collect();
    assert_eq!(reached, [(50, Some("2025-07-15".to_owned())), (90, Some("2025-07-28".to_owned()))]);
}
