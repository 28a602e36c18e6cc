//! `GET /api/v1/cost/…`.

use std::collections::BTreeMap;

use producers::sources::focus::{ChargeRows, Charges, Delivery};
use reqwest::StatusCode;
use rust_decimal::Decimal;
use schemas::{Envelope, TenantId};
use sinks::query_api::{ChargesPage, CostBreakdown, CostSummary, CostTimeseries, ResourceAnswer};

use super::fixture::{Place, at, charge, columns, replacing, tenant};
use crate::query_api::fixture::Api;

/// An API over acme's charges: 10 and 20 EUR on two days of May, 5 USD, and a replacement of June that came in July.
async fn api() -> Api {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let known = at("2025-06-01T00:00:00Z");
    let mut dollars = charge(3, 500, 0, known);
    columns(&mut dollars).billing_currency = "USD".into();
    columns(&mut dollars).resource_id = Some("arn:x/y z".into());
    columns(&mut dollars).tags = [].into();
    let mut purchase = charge(4, 7_000, 0, known);
    columns(&mut purchase).charge_category = "Purchase".into();
    columns(&mut purchase).list_cost = Some(Decimal::new(7_000, 2));
    let june = |n, cents, known_at| {
        let mut envelope = charge(n, cents, 40 * 86_400, known_at);
        columns(&mut envelope)
            .other_columns
            .insert("BillingPeriodStart".into(), "2025-06-01T00:00:00Z".into());
        envelope
    };
    let mut foreign = charge(9, 1, 0, known);
    foreign.tenant = TenantId::new("other").expect("valid");
    let events = [
        charge(1, 1_000, 0, known),
        charge(2, 2_000, 86_400, known),
        dollars,
        purchase,
        june(5, 300, known),
        replacing(june(6, 450, at("2025-07-05T00:00:00Z"))),
        foreign,
    ];
    assert_eq!(member.deliver(&events).await, [7, 0, 0, 0]);
    api
}

async fn totals(api: &Api, query: &str) -> Vec<(String, String)> {
    let found: CostSummary = api.get("acme", &format!("/api/v1/cost/summary?{query}")).await;
    found.totals.into_iter().map(|sums| (sums.currency, sums.billed_cost)).collect()
}

fn eur(amount: &str) -> Vec<(String, String)> {
    vec![("EUR".to_owned(), amount.to_owned())]
}

#[tokio::test]
async fn totals_are_of_a_currency_and_of_an_instant() {
    let api = api().await;
    let both = [eur("104.5"), vec![("USD".to_owned(), "5".to_owned())]].concat();
    assert_eq!(totals(&api, "").await, both);
    assert_eq!(totals(&api, "known_at=2025-07-04T00:00:00Z&currency=EUR").await, eur("103"));
    assert_eq!(totals(&api, "as_of=2025-05-01T00:00:00Z").await, []);
    assert_eq!(totals(&api, "as_of=2025-05-01T00:00:00Z&known_at=2025-07-04T00:00:00Z").await, []);
    assert_eq!(totals(&api, "from=2025-05-02&to=2025-05-03").await, eur("20"));
    assert_eq!(totals(&api, "billing_period=2025-06-01").await, eur("4.5"));
    assert_eq!(totals(&api, "tag=team%3Dcore&charge_category=Usage").await, eur("34.5"));
    assert_eq!(totals(&api, "tag=team%3D").await, []);
    let whole: CostSummary = api.get("acme", "/api/v1/cost/summary?currency=EUR").await;
    assert_eq!(whole.totals[0].list_cost, "0", "a purchase is no usage at list price");
    assert_eq!(whole.totals[0].charges, 4, "what was replaced is counted no more");
    assert_eq!(whole.first_day.map(|day| day.to_string()).as_deref(), Some("2025-05-01"));
    for query in [
        "from=2025-05-03&to=2025-05-01",
        "from=May",
        "from=2025-5-1",
        "tag=team",
        "tag=%3Dx",
        "known_at=2025-05-01",
        "provider=",
        "sort=1",
    ] {
        assert_eq!(
            api.refused("acme", &format!("/api/v1/cost/summary?{query}")).await,
            "invalid-query",
            "{query}"
        );
    }
}

#[tokio::test]
async fn days_and_parts_add_up_to_the_whole() {
    let api = api().await;
    let days: CostTimeseries = api.get("acme", "/api/v1/cost/timeseries?currency=EUR").await;
    let told: Vec<(String, &str)> =
        days.points.iter().map(|point| (point.day.to_string(), point.sums.billed_cost.as_str())).collect();
    let expected = [("2025-05-01", "80"), ("2025-05-02", "20"), ("2025-06-10", "4.5")];
    assert_eq!(told, expected.map(|(day, cost)| (day.to_owned(), cost)));
    let months: CostTimeseries = api.get("acme", "/api/v1/cost/timeseries?step=month&currency=EUR").await;
    assert_eq!(months.points.len(), 2);
    assert!(months.complete && months.points[0].sums.billed_cost == "100");

    let parts: CostBreakdown =
        api.get("acme", "/api/v1/cost/breakdown?by=charge_category&currency=EUR").await;
    let told: Vec<_> =
        parts.items.iter().map(|item| (item.value.as_deref(), item.sums.billed_cost.as_str())).collect();
    assert_eq!(told, [(Some("Purchase"), "70"), (Some("Usage"), "34.5")]);
    assert_eq!(parts.totals[0].billed_cost, "104.5");
    let tags: CostBreakdown = api.get("acme", "/api/v1/cost/breakdown?tag_key=team&limit=1").await;
    assert_eq!((tags.items.len(), tags.complete), (1, false));
    assert_eq!(tags.items[0].value.as_deref(), Some("core"));
    for by in [
        "provider",
        "billing_account",
        "billing_period",
        "sub_account",
        "service",
        "service_category",
        "region",
        "resource",
        "charge_class",
        "sku",
        "sku_price",
        "consumed_unit",
    ] {
        let found: CostBreakdown = api.get("acme", &format!("/api/v1/cost/breakdown?by={by}")).await;
        assert_eq!(found.totals.len(), 2, "{by}");
    }
    for query in ["by=colour", "by=tag", "tag_key=", "limit=0"] {
        assert_eq!(
            api.refused("acme", &format!("/api/v1/cost/breakdown?{query}")).await,
            "invalid-query",
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_parquet_export_gives_the_same_charges() {
    let api = api().await;
    let answer =
        api.request("acme", "/api/v1/cost/export?format=parquet").send().await.expect("the API answers");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("focus.parquet");
    std::fs::write(&path, answer.bytes().await.expect("a body")).expect("written");
    let file = std::fs::File::open(&path).expect("there");
    let charges = Charges::new(&tenant("copy"), Delivery::default(), at("2026-01-01T00:00:00Z"));
    let rows = ChargeRows::of_parquet(file, charges).expect("a table");
    let copies = rows.map(|row| row.expect("read to its end").charge.expect("a good row").envelope);
    let mut sums: BTreeMap<String, (Decimal, Decimal, u32)> = BTreeMap::new();
    for mut copy in copies {
        let usage = columns(&mut copy).clone();
        let sum = sums.entry(usage.billing_currency).or_default();
        sum.0 += usage.billed_cost;
        sum.1 += usage.effective_cost.expect("every charge has one");
        sum.2 += 1;
    }
    let whole: CostSummary = api.get("acme", "/api/v1/cost/summary").await;
    for total in whole.totals {
        let (billed, effective, count) = sums.remove(&total.currency).expect("exported");
        assert_eq!(billed.normalize().to_string(), total.billed_cost, "{}", total.currency);
        assert_eq!(effective.normalize().to_string(), total.effective_cost, "{}", total.currency);
        assert_eq!(i64::from(count), total.charges, "{}", total.currency);
    }
    assert!(sums.is_empty(), "{sums:?}");
}

#[tokio::test]
async fn a_resource_tells_its_parts_and_days() {
    let api = api().await;
    let found: ResourceAnswer = api.get("acme", "/api/v1/cost/resources/R-1?to=2025-06-01").await;
    assert_eq!(found.item.totals[0].billed_cost, "100");
    assert_eq!((found.item.parts.len(), found.item.days.len()), (2, 2));
    let odd: ResourceAnswer = api.get("acme", "/api/v1/cost/resources/arn%3Ax%2Fy%20z").await;
    assert_eq!(odd.item.totals[0].currency, "USD");
    assert_eq!(api.ask("acme", "/api/v1/cost/resources/none").await.0, StatusCode::NOT_FOUND);
    assert_eq!(api.ask("other", "/api/v1/cost/resources/arn%3Ax%2Fy%20z").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn charges_are_paged_and_an_export_is_a_focus_file_that_gives_the_same_totals() {
    let api = api().await;
    let first: ChargesPage = api.get("acme", "/api/v1/cost/charges?limit=2").await;
    let cursor = first.next_cursor.expect("more");
    let second: ChargesPage = api.get("acme", &format!("/api/v1/cost/charges?limit=2&cursor={cursor}")).await;
    assert_eq!((first.items.len(), second.items.len()), (2, 2));
    let foreign = format!("/api/v1/cost/charges?provider=x&cursor={cursor}");
    assert_eq!(api.refused("acme", &foreign).await, "invalid-cursor");

    let (status, text) = api.ask("acme", "/api/v1/cost/export").await;
    assert_eq!(status, StatusCode::OK);
    let charges = Charges::new(&tenant("copy"), Delivery::default(), at("2026-01-01T00:00:00Z"));
    let rows =
        ChargeRows::of_text(Box::new(std::io::Cursor::new(text)), charges).expect("a table").expect("rows");
    let copies: Vec<Envelope> =
        rows.map(|row| row.expect("read to its end").charge.expect("a good row").envelope).collect();
    assert_eq!(copies.len(), 5);
    let replaced = copies.iter().filter(|copy| copy.occurred_at == at("2025-07-05T00:00:00Z")).count();
    assert_eq!(replaced, 1, "each says when it became known");
    let sum: Decimal = copies.into_iter().map(|mut copy| columns(&mut copy).billed_cost).sum();
    assert_eq!(sum, Decimal::new(10_950, 2));
    let earlier =
        api.ask("acme", "/api/v1/cost/export?known_at=2025-06-02T00:00:00Z&billing_period=2025-06-01").await;
    assert_eq!(earlier.1.lines().count(), 2);
    assert!(earlier.1.contains(",3,") || earlier.1.contains("3.00"), "{}", earlier.1);
}
