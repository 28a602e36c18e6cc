//! Published bills: totals to the last digit, and corrections in every style.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use producers::sources::focus::DeliveryMode;
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use rust_decimal::Decimal;
use schemas::{Envelope, TenantId, Timestamp};
use serde_json::Value;
use sinks::read_models::{
    cost::read::{self, By, ChargeRecord, ChargesRequest, CostFilter, CostSums, CostView, Dimension},
    reader_pool,
};
use sqlx::PgPool;

use super::fixture::{Place, at, of_file, tenant};
use crate::support::{corpus::corpus, projection::shuffled};

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

fn decimal(value: &Value) -> Decimal {
    let text = value.as_str().expect("a text");
    text.parse().or_else(|_| Decimal::from_scientific(text)).expect("a decimal")
}

fn costs(sums: &CostSums) -> [Decimal; 4] {
    [&sums.billed_cost, &sums.effective_cost, &sums.list_cost, &sums.contracted_cost]
        .map(|text| text.parse().expect("a decimal"))
}

fn viewed(known_at: Option<Timestamp>) -> CostView {
    CostView { known_at, ..CostView::default() }
}

async fn by(pool: &PgPool, of: &TenantId, dimension: Dimension) -> BTreeMap<String, ([Decimal; 4], i64)> {
    let (view, filter) = (CostView::default(), CostFilter::default());
    let found =
        read::breakdown(pool, of, &view, &filter, By::Dimension(dimension), 1_000).await.expect("answered");
    assert!(found.complete);
    let sum =
        |place: usize, sums: &[CostSums]| -> Decimal { sums.iter().map(|sums| costs(sums)[place]).sum() };
    let items: Vec<CostSums> = found.items.iter().map(|item| item.sums.clone()).collect();
    for place in 0..4 {
        assert_eq!(sum(place, &items), sum(place, &found.totals), "the parts are the whole");
    }
    let entry =
        |item: read::BreakdownItem| (item.value.unwrap_or_default(), (costs(&item.sums), item.sums.charges));
    found.items.into_iter().map(entry).collect()
}

#[tokio::test]
async fn a_published_bill_adds_up_to_the_last_digit_also_when_it_comes_twice() {
    let Some(folder) = corpus("focus") else { return };
    let folder = folder.path().join("focus");
    let events = of_file(&folder.join("FOCUS-1.0/focus_sample.csv"), "acme", DeliveryMode::Append);
    let expected = json(&folder.join("expected_totals.json"));
    let place = Place::new().await;
    let mut member = place.member(0).await;
    for batch in events.chunks(300) {
        assert_eq!(member.deliver(batch).await[0], i64::try_from(batch.len()).expect("small"));
    }
    let pool = reader_pool(&place.url, 2).expect("an address");
    let of = tenant("acme");
    for round in 0..2 {
        let summary =
            read::summary(&pool, &of, &CostView::default(), &CostFilter::default()).await.expect("answered");
        assert_eq!(summary.totals.len(), 1);
        let totals = &summary.totals[0];
        assert_eq!((totals.currency.as_str(), totals.charges), ("USD", 1_000), "round {round}");
        let names = ["BilledCost", "EffectiveCost", "ListCost", "ContractedCost"];
        assert_eq!(costs(totals), names.map(|name| decimal(&expected["totals"][name])));
        for (dimension, billed, effective) in [
            (Dimension::Provider, "billed_by_provider", Some("effective_by_provider")),
            (Dimension::ServiceCategory, "billed_by_service_category", Some("effective_by_service_category")),
        ] {
            let found = by(&pool, &of, dimension).await;
            let members = expected[billed].as_object().expect("an object");
            assert_eq!(found.len(), members.len());
            for (value, amount) in members {
                assert_eq!(found[value].0[0], decimal(amount), "{value}");
                let effective = effective.map(|name| decimal(&expected[name][value]));
                assert_eq!(Some(found[value].0[1]), effective, "{value}");
            }
        }
        let services = by(&pool, &of, Dimension::Service).await;
        assert_eq!(services.len(), 33);
        let service = |name: &str| (services[name].0[0].to_string(), services[name].1);
        assert_eq!(service("Amazon Elastic Compute Cloud"), ("16.0416930505".to_owned(), 554));
        assert_eq!(service("Amazon Relational Database Service"), ("0.7532270852".to_owned(), 13));
        let accounts = by(&pool, &of, Dimension::SubAccount).await;
        assert_eq!(accounts.len(), 73);
        assert_eq!(accounts["11353890204"], (accounts["11353890204"].0, 225));
        assert_eq!(accounts["11353890204"].0[0].to_string(), "13.6164825497");
        assert_eq!(accounts["18938484842"].0[0].to_string(), "1.3408546746");
        for batch in shuffled(events.clone(), 1).chunks(300) {
            assert_eq!(member.deliver(batch).await[1], i64::try_from(batch.len()).expect("small"));
        }
    }
}

#[tokio::test]
async fn other_published_bills_add_up_without_counting_purchases_twice() {
    let Some(folder) = corpus("focus_corrections") else { return };
    let folder = folder.path().join("focus_corrections");
    let expected = json(&folder.join("expected_files.json"));
    let place = Place::new().await;
    let mut member = place.member(0).await;
    let pool = reader_pool(&place.url, 2).expect("an address");
    let mut read = 0;
    for (number, (file, told)) in expected.as_object().expect("an object").iter().enumerate() {
        if told["totals"].get("BilledCost").is_none() {
            continue;
        }
        let of = tenant(&format!("t{number}"));
        let events = of_file(&folder.join(file), of.as_str(), DeliveryMode::Append);
        assert_eq!(events.len() as u64, told["rows"].as_u64().expect("a number"), "{file}");
        member.deliver(&events).await;
        let summary =
            read::summary(&pool, &of, &CostView::default(), &CostFilter::default()).await.expect("answered");
        let found = costs(&summary.totals[0]);
        assert_eq!(found[0], decimal(&told["totals"]["BilledCost"]), "{file}");
        assert_eq!(found[1], decimal(&told["totals"]["EffectiveCost"]), "{file}");
        let usage = &told["by_ChargeCategory"]["Usage"]["ListCost"];
        if usage.is_string() {
            assert_eq!(found[2], decimal(usage), "{file}");
        }
        read += 1;
    }
    assert_eq!(read, 9);
}

/// A style of a scenario: the charges of its files.
fn of_style(folder: &Path, style: &Value, of: &str) -> Vec<Envelope> {
    let overwrites = style["mode"] == "overwrite";
    let files: Vec<PathBuf> = style["load"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| folder.join(file.as_str().expect("a path")))
        .collect();
    let charges = |(place, path): (usize, &PathBuf)| {
        let replaces = overwrites && place + 1 == files.len();
        of_file(path, of, if replaces { DeliveryMode::Replace } else { DeliveryMode::Append })
    };
    files.iter().enumerate().flat_map(charges).collect()
}

/// Billed, effective, list, contracted cost, pricing and consumed quantity by line.
type Lines = BTreeMap<Vec<String>, [Decimal; 6]>;

const AMOUNTS: [&str; 6] =
    ["BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingQuantity", "ConsumedQuantity"];

fn expected_lines(lines: &Value, key: &[&str]) -> Lines {
    let line = |line: &Value| {
        let names = key.iter().map(|name| line[*name].as_str().unwrap_or_default().to_owned()).collect();
        (names, AMOUNTS.map(|name| decimal(&line[name])))
    };
    lines.as_array().expect("lines").iter().map(line).collect()
}

const LINE: [&str; 5] = ["ChargePeriodStart", "ChargePeriodEnd", "ResourceId", "SkuId", "SkuPriceId"];

fn key_of(charge: &ChargeRecord, names: &[&str]) -> Vec<String> {
    let instant = |instant: Timestamp| instant.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let part = |name: &&str| match *name {
        "ChargePeriodStart" => instant(charge.charge_period_start),
        "ChargePeriodEnd" => instant(charge.charge_period_end),
        "BillingPeriodStart" => format!("{}T00:00:00Z", charge.billing_period),
        "ResourceId" => charge.resource.clone(),
        "SkuId" => charge.sku.clone(),
        "SkuPriceId" => charge.sku_price.clone(),
        other => panic!("{other}"),
    };
    names.iter().map(part).collect()
}

fn lines_of(charges: &[ChargeRecord], names: &[&str]) -> Lines {
    let mut lines = Lines::new();
    for charge in charges {
        let optional = |text: &Option<String>| text.clone().unwrap_or_else(|| "0".into());
        let amounts = [
            charge.billed_cost.clone(),
            optional(&charge.effective_cost),
            optional(&charge.list_cost),
            optional(&charge.contracted_cost),
            optional(&charge.pricing_quantity),
            optional(&charge.consumed_quantity),
        ];
        let line = lines.entry(key_of(charge, names)).or_default();
        for (sum, amount) in line.iter_mut().zip(amounts) {
            *sum += amount.parse::<Decimal>().expect("a decimal");
        }
    }
    // A line that adds up to nothing is none.
    lines.retain(|_, amounts| amounts.iter().any(|amount| !amount.is_zero()));
    lines
}

async fn charges(pool: &PgPool, of: &TenantId, known_at: Option<Timestamp>) -> Vec<ChargeRecord> {
    let request =
        ChargesRequest { view: viewed(known_at), filter: CostFilter::default(), after: None, limit: 1_000 };
    read::charges(pool, of, &request).await.expect("answered").items
}

#[tokio::test]
async fn every_style_of_correcting_gives_the_expected_ledger_at_every_instant_in_any_order() {
    const ORDERS: u64 = 100;
    let Some(folder) = corpus("focus_corrections") else { return };
    let folder = folder.path().join("focus_corrections");
    let expected = json(&folder.join("expected.json"));
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let pool = reader_pool(&place.url, 2).expect("an address");
    let mut styles = 0;
    for scenario in expected["scenarios"].as_array().expect("scenarios") {
        let name = scenario["scenario"].as_str().expect("a name");
        for (word, style) in scenario["styles"].as_object().expect("styles") {
            styles += 1;
            let of = |order: u64| format!("s{styles}.{order}");
            // Each order is a tenant; repeats stand anywhere.
            let orders: Vec<Vec<Envelope>> = (0..ORDERS)
                .map(|order| {
                    let charges = of_style(&folder, style, &of(order));
                    let mut dice = StdRng::seed_from_u64(order);
                    let repeats: Vec<Envelope> =
                        charges.iter().filter(|_| dice.random_bool(0.5)).cloned().collect();
                    shuffled([charges, repeats].concat(), order)
                })
                .collect();
            let longest = orders.iter().map(Vec::len).max().unwrap_or(0);
            for place in 0..longest {
                let step: Vec<Envelope> =
                    orders.iter().filter_map(|order| order.get(place)).cloned().collect();
                assert_eq!(member.deliver(&step).await[3], 0, "nothing is parked");
            }
            let first = tenant(&of(0));
            check_ledger(&pool, &first, scenario, (name, word)).await;
            let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM cost_charge WHERE tenant_id = $1")
                .bind(first.as_str())
                .fetch_one(&mut place.owner)
                .await
                .expect("a count");
            let now = charges(&pool, &first, None).await;
            assert_eq!(Some(now.len() as u64), style["rows_kept"].as_u64(), "{name} {word}: {kept} stored");
            let dumps: Vec<(String, Vec<String>)> = sqlx::query_as(
                "SELECT tenant_id, array_agg((to_jsonb(d) - 'tenant_id')::text ORDER BY (to_jsonb(d) - 'tenant_id')::text)
                   FROM cost_daily AS d WHERE tenant_id LIKE $1 GROUP BY 1",
            )
            .bind(format!("s{styles}.%"))
            .fetch_all(&mut place.owner)
            .await
            .expect("rows");
            assert_eq!(dumps.len() as u64, ORDERS);
            for (order, dump) in &dumps {
                assert_eq!(*dump, dumps[0].1, "{name} {word}: order {order}");
            }
        }
    }
    assert_eq!(styles, 15);
}

/// The ledger before and after, by line and by billing period.
async fn check_ledger(pool: &PgPool, of: &TenantId, scenario: &Value, what: (&str, &str)) {
    let corrected_at = at(scenario["corrected_known_at"].as_str().expect("an instant"));
    let just_before = corrected_at - chrono::TimeDelta::microseconds(1);
    let before = charges(pool, of, Some(just_before)).await;
    assert_eq!(lines_of(&before, &LINE), expected_lines(&scenario["before"], &LINE), "{what:?} before");
    for known_at in [Some(corrected_at), None] {
        let after = charges(pool, of, known_at).await;
        assert_eq!(lines_of(&after, &LINE), expected_lines(&scenario["after"], &LINE), "{what:?} after");
        let by_period: Vec<&str> = ["BillingPeriodStart"].into_iter().chain(LINE).collect();
        let expected = expected_lines(&scenario["after_by_billing_period_and_line"], &by_period);
        assert_eq!(lines_of(&after, &by_period), expected, "{what:?} by billing period and line");
    }
    let Some(original_at) = scenario["original_known_at"].as_str().map(at) else { return };
    let earlier = charges(pool, of, Some(original_at - chrono::TimeDelta::seconds(1))).await;
    assert!(earlier.is_empty(), "{what:?}: nothing was known");
    let filter = CostFilter::default();
    for (known_at, total) in [(just_before, "total_before"), (corrected_at, "total_after")] {
        let summary = read::summary(pool, of, &viewed(Some(known_at)), &filter).await.expect("answered");
        let expected = AMOUNTS[..4].iter().map(|name| decimal(&scenario[total][*name])).collect::<Vec<_>>();
        assert_eq!(costs(&summary.totals[0]).to_vec(), expected, "{what:?} {total}");
        assert_eq!(summary.totals[0].currency, "XXX");
    }
}
