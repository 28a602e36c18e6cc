//! Findings about forecasts, anomalies and first spends: each is put into the outbox once.

use std::collections::BTreeMap;

use processors::{
    Processor as _,
    risk::{Risk, RuleSet},
};
use schemas::{
    Envelope, Timestamp, Topic,
    changes::risk::RiskChange,
    codec::{self, Decoded, Incoming, NoRegistry},
};
use serde_json::Value;
use sinks::cost_outlook::CostOutlook;

use super::{
    budget::budget,
    fixture::{Place, at, charge, columns},
};

/// A charge of a whole day, counted from the first of May 2025.
fn of_day(n: u64, cents: i64, day: i64) -> Envelope {
    let mut envelope = charge(n, cents, day * 86_400, at("2025-06-01T00:00:00Z"));
    let usage = columns(&mut envelope);
    usage.charge_period_end = usage.charge_period_start + chrono::TimeDelta::days(1);
    envelope
}

/// Records by topic: headers and value.
type Records = BTreeMap<String, Vec<(Value, Vec<u8>)>>;

/// The records of the outbox by topic; empties it.
async fn outbox(place: &mut Place) -> Records {
    let rows: Vec<(String, Value, Vec<u8>)> = sqlx::query_as(
        "WITH gone AS (DELETE FROM outbox RETURNING *)
         SELECT to_topic, headers, value FROM gone ORDER BY topic, partition, number",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("the outbox");
    let mut by_topic = Records::new();
    for (topic, headers, value) in rows {
        by_topic.entry(topic).or_default().push((headers, value));
    }
    by_topic
}

/// The `unmapped` parts of the findings.
fn findings(records: &Records) -> Vec<Value> {
    records.get(Topic::Findings.name()).into_iter().flatten().map(|(_, value)| unmapped(value)).collect()
}

/// The percentages that forecasts reach.
fn expected_percents(findings: &[Value]) -> Vec<Option<i64>> {
    let expected = findings.iter().filter(|told| told["basis"] == "forecast");
    expected.map(|told| told["percent"].as_i64()).collect()
}

/// The event in a record of the outbox.
fn event((headers, value): &(Value, Vec<u8>), received_at: Timestamp) -> Envelope {
    let text = |header: &Value, part: &str| header[part].as_str().expect("a text").to_owned();
    let headers: Vec<(String, String)> = headers
        .as_array()
        .expect("a list")
        .iter()
        .map(|header| (text(header, "name"), text(header, "value")))
        .collect();
    let borrowed: Vec<(&str, Option<&[u8]>)> =
        headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_bytes()))).collect();
    let incoming = Incoming {
        topic: Topic::Activity,
        key: None,
        value: Some(value),
        headers: &borrowed,
        timestamp_ms: received_at.timestamp_millis(),
    };
    match codec::decode(&incoming, &NoRegistry).expect("decoded") {
        Decoded::Event(event) => *event,
        Decoded::Tombstone => panic!("an event"),
    }
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
    outbox(&mut place).await;

    let now = at("2025-06-15T08:00:00Z");
    let mut outlook = CostOutlook::new(&place.url).expect("an address");
    let new = outlook.round(now).await.expect("a round");
    let records = outbox(&mut place).await;
    let findings = self::findings(&records);
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
    let [record] = records[Topic::Activity.name()].as_slice() else { panic!("one event: {records:?}") };
    let signals = signals(&event(record, now));
    assert!(signals.iter().any(|entity| entity == "resource cost/region/sa-east-1"), "{signals:?}");

    // Neither a further round, nor one of another process, nor one later on the day tells them again.
    assert_eq!(outlook.round(now).await.expect("a round"), 0);
    let mut other = CostOutlook::new(&place.url).expect("an address");
    assert_eq!(other.round(now).await.expect("a round"), 0);
    assert_eq!(other.round(now + chrono::TimeDelta::hours(10)).await.expect("a round"), 0);
    // What becomes dearer crosses the next threshold, and only that.
    member.deliver(&[of_day(300, 12_000, 44)]).await;
    outbox(&mut place).await;
    other.round(now).await.expect("a round");
    let records = outbox(&mut place).await;
    assert_eq!(expected_percents(&self::findings(&records)), [Some(110)]);
}
