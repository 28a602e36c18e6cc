//! Findings about forecasts, anomalies and first spends: each is put into the outbox once, and the events of first spends into
//! that of the gateway.

use processors::{
    Processor as _,
    risk::{Risk, RuleSet},
};
use schemas::{Envelope, Topic, changes::risk::RiskChange};
use serde_json::Value;
use sinks::{
    cost_outlook::CostOutlook,
    event_outbox::{Queue, WaitingEvents},
};

use super::{
    budget::budget,
    fixture::{Place, at, charge, columns, tenant},
};

/// A charge of a whole day, counted from the first of May 2025.
fn of_day(n: u64, cents: i64, day: i64) -> Envelope {
    let mut envelope = charge(n, cents, day * 86_400, at("2025-06-01T00:00:00Z"));
    let usage = columns(&mut envelope);
    usage.charge_period_end = usage.charge_period_start + chrono::TimeDelta::days(1);
    envelope
}

/// The `unmapped` parts of the findings in the outbox; empties it.
async fn findings(place: &mut Place) -> Vec<Value> {
    let values: Vec<Vec<u8>> = sqlx::query_scalar(
        "WITH gone AS (DELETE FROM outbox WHERE to_topic = $1 RETURNING *)
         SELECT value FROM gone ORDER BY topic, partition, number",
    )
    .bind(Topic::Findings.name())
    .fetch_all(&mut place.owner)
    .await
    .expect("the outbox");
    values.iter().map(|value| unmapped(value)).collect()
}

/// The percentages that forecasts reach.
fn expected_percents(findings: &[Value]) -> Vec<Option<i64>> {
    let expected = findings.iter().filter(|told| told["basis"] == "forecast");
    expected.map(|told| told["percent"].as_i64()).collect()
}

/// The events that wait for a gateway.
async fn own_events(place: &Place) -> Vec<Envelope> {
    let mut events = WaitingEvents::new(&place.url).expect("an address");
    let waiting = events.after(Queue::Own, i64::MIN, 100).await.expect("read").expect("nobody else reads");
    waiting.into_iter().map(|waiting| waiting.event.expect("an event")).collect()
}

/// The entities of the signals of the own rules.
fn signals(event: &Envelope) -> Vec<String> {
    let changes = Risk::new(RuleSet::own()).process(event);
    let signal = |change: &RiskChange| match change {
        RiskChange::Signal(signal) => Some(signal.entity.to_string()),
        _ => None,
    };
    changes.iter().filter_map(signal).collect()
}

fn unmapped(value: &[u8]) -> Value {
    let finding: Value = serde_json::from_slice(value).expect("JSON");
    assert_eq!(finding["type_uid"], 200_401);
    finding["unmapped"].clone()
}

#[tokio::test]
async fn forecasts_anomalies_and_first_spends_are_told_once() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let mut events: Vec<Envelope> = (0..45_u64)
        .zip(0..)
        .map(|(n, day)| {
            of_day(n, if day == 40 { 9_000 } else { 1_000 + i64::try_from(n % 3).expect("small") }, day)
        })
        .collect();
    let mut abroad = of_day(100, 700, 42);
    columns(&mut abroad).region_id = Some("sa-east-1".into());
    columns(&mut abroad).resource_id = Some("R-2".into());
    events.push(abroad);
    // June has cost 227: 140 to the 14th, 80 more on the tenth, 7 abroad; and 16 days of 10 to 12 are to come.
    events.push(budget(200, "june", "440", &[("thresholds", "50,80,110,200")], at("2025-05-01T00:00:00Z")));
    member.deliver(&events).await;
    findings(&mut place).await;

    let now = at("2025-06-15T08:00:00Z");
    let mut outlook = CostOutlook::new(&place.url).expect("an address");
    let new = outlook.round(now).await.expect("a round");
    let findings = self::findings(&mut place).await;
    assert_eq!(findings.len() as u64, new);
    assert_eq!(
        expected_percents(&findings),
        [Some(80)],
        "half is spent already, and 110 % is not expected: {findings:?}"
    );
    let daily: Vec<_> = findings.iter().filter(|told| told["kind"] == "daily").collect();
    assert!(
        daily.iter().any(|told| told["day"] == "2025-06-10" && told["resource"] == "R-1"),
        "the day of 90: {findings:?}"
    );
    let first: Vec<_> = findings.iter().filter(|told| told["kind"] == "first_spend").collect();
    assert_eq!((first.len(), &first[0]["region"]), (1, &"sa-east-1".into()), "{findings:?}");

    // A first spend is an event for detection rules, too.
    let events = own_events(&place).await;
    let [event] = events.as_slice() else { panic!("one event: {events:?}") };
    let signals = signals(event);
    assert!(signals.iter().any(|entity| entity == "resource cost/region/sa-east-1"), "{signals:?}");

    // Neither a further round, nor one of another process, nor one later on the day tells them again.
    assert_eq!(outlook.round(now).await.expect("a round"), 0);
    let mut other = CostOutlook::new(&place.url).expect("an address");
    assert_eq!(other.round(now).await.expect("a round"), 0);
    assert_eq!(other.round(now + chrono::TimeDelta::hours(10)).await.expect("a round"), 0);
    // What becomes dearer crosses the next threshold, and only that.
    member.deliver(&[of_day(300, 12_000, 44)]).await;
    self::findings(&mut place).await;
    other.round(now).await.expect("a round");
    assert_eq!(expected_percents(&self::findings(&mut place).await), [Some(110)]);
}

#[tokio::test]
async fn a_tenant_whose_costs_cannot_be_read_does_not_stop_the_others() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let mut events = Vec::new();
    for (first, of) in [(0_u64, "acme"), (1_000, "other")] {
        // June has cost 140 to the 14th, and 160 more are to come.
        let june = budget(first + 200, "june", "440", &[("thresholds", "50")], at("2025-05-01T00:00:00Z"));
        let charges = (first..).zip(0..45).map(|(n, day)| of_day(n, 1_000, day));
        events.extend(charges.chain([june]).map(|event| Envelope { tenant: tenant(of), ..event }));
    }
    member.deliver(&events).await;
    findings(&mut place).await;
    let mut outlook = CostOutlook::new(&place.url).expect("an address");
    let now = at("2025-06-15T08:00:00Z");
    // The first one's costs cannot be read, then they can.
    for period in ["never", "monthly"] {
        sqlx::query("UPDATE cost_budget_fact SET period = $1 WHERE tenant_id = 'acme'")
            .bind(period)
            .execute(&mut place.owner)
            .await
            .expect("changed");
        assert_eq!(outlook.round(now).await.expect("a round"), 1, "{period}");
        assert_eq!(expected_percents(&findings(&mut place).await), [Some(50)], "{period}");
    }
}
