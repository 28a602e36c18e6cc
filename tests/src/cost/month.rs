//! A generated month of infrastructure and its bill: accrual knows what the bill will say, and every difference is explained.

use chrono::{DateTime, TimeDelta};
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use schemas::{
    Envelope, Event, Timestamp,
    events::{Actor, ActorKind, Infrastructure, InfrastructureKind, Outcome, Resource},
};
use sinks::query_api::{CostSummary, ReconciliationPage};

use super::fixture::{Place, at, charge, columns};
use crate::query_api::fixture::Api;

/// Machines of the month.
const MACHINES: u64 = 40;
/// Type and hourly price of machines, by the shipped price list.
const TYPES: [(&str, &str); 2] = [("m7g.large", "0.0816"), ("m7g.xlarge", "0.1632")];
const SEED: u64 = 20_250_501;

/// Counts of a machine over time, from its second to the next one's; the last is none.
type Life = Vec<(Timestamp, i64)>;

struct Machine {
    id: String,
    kind: &'static str,
    price: Decimal,
    life: Life,
}

fn machines(dice: &mut StdRng) -> Vec<Machine> {
    let month = at("2025-05-01T00:00:00Z");
    let seconds = 31 * 86_400;
    (0..MACHINES)
        .map(|n| {
            let (kind, price) = TYPES[usize::try_from(n).expect("small") % TYPES.len()];
            let mut instants: Vec<i64> =
                (0..dice.random_range(2..6)).map(|_| dice.random_range(0..seconds)).collect();
            instants.sort_unstable();
            instants.dedup();
            let last = instants.len() - 1;
            let life = instants.iter().enumerate().map(|(place, second)| {
                let count = if place == last { 0 } else { dice.random_range(1..4) };
                (month + TimeDelta::seconds(*second), count)
            });
            Machine {
                id: format!("i-{n:017x}"),
                kind,
                price: price.parse().expect("a decimal"),
                life: life.collect(),
            }
        })
        .filter(|machine| machine.life.len() > 1)
        .collect()
}

fn events(machines: &[Machine], next: &mut impl FnMut() -> u64) -> Vec<Envelope> {
    let mut events = Vec::new();
    for machine in machines {
        for (place, (when, count)) in machine.life.iter().enumerate() {
            let kind = match (place, count) {
                (0, _) => InfrastructureKind::Provisioned,
                (_, 0) => InfrastructureKind::Deleted,
                _ => InfrastructureKind::Scaled,
            };
            let mut envelope = charge(next(), 0, 0, *when);
            envelope.event = Event::Infrastructure(Infrastructure {
                kind,
                resource: Resource {
                    cloud: Some("aws".into()),
                    account: Some("42".into()),
                    region: Some("us-east-1".into()),
                    kind: Some("AWS::EC2::Instance".into()),
                    id: machine.id.clone(),
                    ..Resource::default()
                },
                actor: Some(Actor { kind: ActorKind::User, id: "ada".into(), ..Actor::default() }),
                outcome: Outcome::default(),
                change_id: None,
                quantity: (*count > 0).then(|| count.to_string()),
                unit: (*count > 0).then(|| "instances".to_owned()),
                configuration: (place == 0).then(|| format!(r#"{{"instanceType":"{}"}}"#, machine.kind)),
            });
            events.push(envelope);
        }
    }
    events
}

/// The seconds in which a machine ran between two instants, times its count.
fn seconds(life: &Life, from: Timestamp, to: Timestamp) -> i64 {
    life.windows(2)
        .map(|pair| {
            let [(begins, count), (ends, _)] = pair else { return 0 };
            ((*ends).min(to) - (*begins).max(from)).num_seconds().max(0) * count
        })
        .sum()
}

/// A bill by day, in hours to six places: some machines are discounted, some are billed a little longer than they ran.
fn bill(machines: &[Machine], dice: &mut StdRng, next: &mut impl FnMut() -> u64) -> (Vec<Envelope>, Decimal) {
    let known = at("2025-06-03T00:00:00Z");
    let (mut bill, mut total) = (Vec::new(), Decimal::ZERO);
    for machine in machines {
        let discount = Decimal::new(if dice.random_range(0..10) == 0 { 98 } else { 100 }, 2);
        for day in 0..31 {
            let begins = at("2025-05-01T00:00:00Z") + TimeDelta::days(day);
            let ran = seconds(&machine.life, begins, begins + TimeDelta::days(1));
            if ran == 0 {
                continue;
            }
            let longer = if dice.random_range(0..20) == 0 { 60 } else { 0 };
            let hours = (Decimal::from(ran + longer) / Decimal::from(3_600)).round_dp(6);
            let list = (hours * machine.price).round_dp(10);
            let mut envelope = charge(next(), 0, day * 86_400, known);
            let usage = columns(&mut envelope);
            usage.resource_id = Some(machine.id.clone());
            usage.billing_currency = "USD".into();
            usage.billed_cost = (list * discount).round_dp(10);
            usage.effective_cost = Some(usage.billed_cost);
            usage.list_cost = Some(list);
            usage.consumed_quantity = Some(hours);
            usage.consumed_unit = Some("Hours".into());
            usage.charge_period_end = usage.charge_period_start + TimeDelta::days(1);
            total += usage.billed_cost;
            bill.push(envelope);
        }
    }
    (bill, total)
}

async fn totals(api: &Api, known_at: DateTime<chrono::Utc>) -> (Decimal, Decimal) {
    let view = known_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let found: CostSummary =
        api.get("acme", &format!("/api/v1/cost/summary?currency=USD&known_at={view}")).await;
    let decimal = |text: &str| text.parse::<Decimal>().expect("a decimal");
    (decimal(&found.totals[0].billed_cost), decimal(&found.totals[0].accrued_cost))
}

#[tokio::test]
async fn accrual_is_within_one_percent_of_the_bill_and_all_of_the_difference_is_explained() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut dice = StdRng::seed_from_u64(SEED);
    let mut n = 0;
    let mut next = || {
        n += 1;
        n
    };
    let machines = machines(&mut dice);
    member.deliver(&events(&machines, &mut next)).await;
    let (billed, accrued) = totals(&api, at("2025-06-02T00:00:00Z")).await;
    assert_eq!(billed, Decimal::ZERO);
    let (bill, total) = bill(&machines, &mut dice, &mut next);
    assert!(bill.len() > 200, "seed {SEED}: {} charges", bill.len());
    let apart = ((accrued - total) / total).abs().to_f64().expect("a number");
    assert!(apart <= 0.01, "seed {SEED}: {accrued} accrued and {total} billed are {apart} apart");

    for batch in bill.chunks(200) {
        member.deliver(batch).await;
    }
    let (billed, left) = totals(&api, at("2025-06-04T00:00:00Z")).await;
    assert_eq!(
        (billed, left),
        (total.normalize(), Decimal::ZERO),
        "seed {SEED}: charges have replaced every accrual"
    );
    let (mut cursor, mut lines) = (String::new(), Vec::new());
    loop {
        let page: ReconciliationPage =
            api.get("acme", &format!("/api/v1/cost/reconciliation?limit=1000{cursor}")).await;
        lines.extend(page.items);
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    let decimal = |text: &str| text.parse::<Decimal>().expect("a decimal");
    let (mut difference, mut explained) = (Decimal::ZERO, Decimal::ZERO);
    for line in &lines {
        let parts: Decimal = line.explained.iter().map(|part| decimal(&part.amount)).sum();
        assert_eq!(parts, decimal(&line.difference), "seed {SEED}: {line:?}");
        assert!(line.explained.iter().all(|part| part.reason != "no_events"), "seed {SEED}: {line:?}");
        difference += decimal(&line.difference);
        explained += parts;
    }
    assert_eq!(explained, difference, "seed {SEED}");
    assert!((difference - (total - accrued)).abs() < Decimal::new(1, 4), "seed {SEED}: {difference}");
}
