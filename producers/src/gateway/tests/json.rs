//! Invalid and unusual JSON over HTTP: each body gets the documented response, and the next request is
//! served.

use chrono::{SecondsFormat, TimeDelta, Utc};

use super::*;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// Sends bodies one after another over one connection; each is rejected in this way, and the connection stays
/// open.
async fn check(status: u16, slug: &str, bodies: impl IntoIterator<Item = impl Into<Vec<u8>>>) {
    let running = start().await;
    let mut wire = Wire::open(&running).await;
    for body in bodies {
        let body = body.into();
        let begin = String::from_utf8_lossy(&body[..body.len().min(160)]).into_owned();
        wire.send(&Ask::publish(STRUCTURED, body).bytes()).await;
        let reply = wire.reply().await.expect("an answer");
        assert_eq!((reply.status, reply.problem().as_str()), (status, slug), "{begin}\n{}", reply.json());
    }
    assert!(running.kafka.published().is_empty());
    wire.send(&Ask::structured(&event("good")).bytes()).await;
    assert_eq!(wire.reply().await.expect("an answer").status, 202);
}

/// The event that is published when this is sent.
async fn accepted(event: &Value) -> Envelope {
    let running = start().await;
    let reply = Ask::structured(event).to(&running).await;
    assert_eq!(reply.status, 202, "{event}\n{}", reply.json());
    running.kafka.published().remove(0)
}

/// A valid event with some of its attributes replaced.
fn with(changes: Value) -> Value {
    let mut event = event("a");
    let Value::Object(changes) = changes else { panic!("an object") };
    event.as_object_mut().expect("an object").extend(changes);
    event
}

/// An event of a type that is not Weir's, with that JSON as its data.
fn foreign(data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"a","source":"/s","type":"com.acme.order.placed.v1",
            "time":"2026-01-02T03:04:05Z","data":{data}}}"#
    )
}

fn charge(changes: Value) -> Value {
    let mut data = json!({
        "billing_account_id": "b", "provider_name": "p", "service_name": "s", "charge_category": "Usage",
        "charge_period_start": "2026-01-01T00:00:00Z", "charge_period_end": "2026-01-02T00:00:00Z",
        "billing_currency": "USD", "billed_cost": "1.5",
    });
    let Value::Object(changes) = changes else { panic!("an object") };
    data.as_object_mut().expect("an object").extend(changes);
    with(json!({"type": "io.weir.usage.charge_recorded.v1", "data": data}))
}

#[tokio::test]
async fn what_is_not_json_is_invalid_json() {
    let good = event("a").to_string();
    let named = |bytes: &[u8]| [br#"{"subject":""#, bytes, br#"","#, &good.as_bytes()[1..]].concat();
    check(
        400,
        "invalid-json",
        [
            b"".to_vec(),
            good.as_bytes()[..good.len() - 5].to_vec(),
            format!("{good} x").into_bytes(),
            format!("{good}{good}").into_bytes(),
            format!("\u{feff}{good}").into_bytes(),
            named(&[0xff]),
            named(&[0xc0, 0xaf]),
            named(br"\ud800"),
            named(br"\u0000"),
            good.replacen('{', r#"{"id":"twice","#, 1).into_bytes(),
            foreign("NaN").into_bytes(),
            b"7".to_vec(),
            b"[]".to_vec(),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_too_deep_too_wide_or_too_long_is_over_a_limit() {
    let nested = |depth: usize| foreign(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let keys: Vec<_> = (0..100_000).map(|n| format!(r#""{n:x}":0"#)).collect();
    check(
        400,
        "json-limit",
        [
            nested(65),
            nested(10_000),
            foreign(&"[".repeat(1_000_000)),
            foreign(&format!("{{{}}}", keys.join(","))),
            with(json!({"data": {"action": "x".repeat(64 * 1024 + 1), "actor": {"id": "ci"}}})).to_string(),
            foreign(&"9".repeat(41)),
            foreign("1e400"),
            foreign("1e100000"),
        ],
    )
    .await;
}

#[tokio::test]
async fn wrong_attributes_are_an_invalid_envelope() {
    let without = |name: &str| {
        let mut event = event("a");
        event.as_object_mut().expect("an object").remove(name);
        event.to_string()
    };
    let mut bodies: Vec<_> = ["specversion", "id", "source", "type"].map(without).to_vec();
    for name in ["id", "source", "type"] {
        bodies.push(with(json!({name: ""})).to_string());
    }
    bodies.push(with(json!({"specversion": "0.3"})).to_string());
    check(400, "invalid-envelope", bodies).await;
}

#[tokio::test]
async fn data_that_does_not_fit_its_type_is_an_invalid_event() {
    let mut bodies = vec![
        with(json!({"data": {"actor": {"id": "ci"}}})),
        with(json!({"data": {"action": 7, "actor": {"id": "ci"}}})),
        with(json!({"data": {"action": null, "actor": null}})),
        with(json!({"data": {"action": "A", "actor": {"id": "ci", "kind": "Martian"}}})),
        with(json!({"data": "text"})),
        with(json!({"data": null})),
        charge(json!({"billed_cost": "1e-29"})),
        charge(json!({"billing_currency": "US$"})),
    ];
    for time in [
        json!("2026-01-02T03:04:05"),
        json!("0000-01-01T00:00:00Z"),
        json!("+294277-01-01T00:00:00Z"),
        json!("2026-01-02T03:04:60Z"),
        json!(1_767_322_800),
    ] {
        bodies.push(with(json!({"time": time})));
    }
    check(422, "invalid-event", bodies.iter().map(Value::to_string)).await;
}

#[tokio::test]
async fn a_time_far_off_is_out_of_range() {
    let at = |hours| (Utc::now() + TimeDelta::hours(hours)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let times = ["1969-12-31T23:59:59Z".to_owned(), "9999-01-01T00:00:00Z".to_owned(), at(25)];
    check(422, "time-out-of-range", times.map(|time| with(json!({"time": time})).to_string())).await;
    accepted(&with(json!({"time": at(23)}))).await;
}

#[tokio::test]
async fn digits_are_kept_as_they_were_written() {
    let running = start().await;
    let sent = foreign(r#"{"a":-0,"b":9007199254740993,"c":1.10}"#);
    assert_eq!(Ask::publish(STRUCTURED, sent).to(&running).await.status, 202);
    let native = running.kafka.published().remove(0).native.expect("the data is kept");
    assert_eq!(native.record, r#"{"a":-0,"b":9007199254740993,"c":1.10}"#);
}

#[tokio::test]
async fn the_odd_but_valid_is_accepted() {
    accepted(&with(json!({"type": "com.acme.unheard.of.v9"}))).await;
    accepted(&with(json!({"someextension": "x", "__proto__": "y"}))).await;
    accepted(&charge(json!({"billed_cost": "-1"}))).await;
    accepted(&charge(json!({"billed_cost": i64::MIN.to_string()}))).await;
    accepted(&charge(json!({"billed_cost": i64::MAX}))).await;
    let far_east = accepted(&with(json!({"time": "2026-01-02T03:04:05+14:00"}))).await;
    assert_eq!(far_east.occurred_at.to_rfc3339(), "2026-01-01T13:04:05+00:00");
    let plain = "0192f0c1-2345-7abc-8def-0123456789ab";
    let mut ids = std::collections::BTreeSet::new();
    for id in [plain, &plain.to_uppercase(), "00000000-0000-0000-0000-000000000000"] {
        ids.insert(accepted(&with(json!({"id": id}))).await.id);
    }
    assert_eq!(ids.len(), 3, "ids are compared with case, whatever they look like");
    let forged = "a\r\n{\"level\":\"ERROR\"}\u{1b}[31m\u{202e}b";
    let kept = accepted(&with(json!({"data": {"action": forged, "actor": {"id": "ci"}}}))).await;
    assert!(matches!(kept.event, schemas::Event::Activity(activity) if activity.action == forged));
}

#[tokio::test]
async fn the_same_id_again_is_accepted_again() {
    let running = start().await;
    let other = with(json!({"data": {"action": "DeleteUser", "actor": {"id": "ci"}}}));
    let mut ids = Vec::new();
    for event in [event("a"), event("a"), other] {
        let reply = Ask::structured(&event).to(&running).await;
        assert_eq!(reply.status, 202);
        ids.push(reply.json()["accepted"][0]["id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "whether it is a duplicate or a conflict is told by the stages");
}

#[tokio::test]
async fn batches_may_be_empty_and_are_not_endless() {
    let running = start().await;
    let batch = async |body: String| Ask::publish(BATCH, body).to(&running).await;
    assert_eq!(batch("[]".into()).await.status, 202);
    batch("{}".into()).await.expect(400, "invalid-json");
    batch(format!("[{}]", vec!["{}"; 10_001].join(","))).await.expect(413, "batch-too-large");
    let all_bad = batch(format!("[{}]", vec!["{}"; 10_000].join(","))).await;
    all_bad.expect(400, "invalid-envelope");
    assert_eq!(all_bad.json()["rejected"].as_array().map(Vec::len), Some(10_000));
    let mixed =
        format!("[{},{},{}]", foreign("1e400"), event("a"), with(json!({"time": "1969-01-01T00:00:00Z"})));
    let mixed = batch(mixed).await;
    assert_eq!(mixed.status, 202);
    let kinds: Vec<_> = [0, 1].map(|n| mixed.json()["rejected"][n]["type"].clone()).to_vec();
    assert_eq!(kinds, ["/problems/json-limit", "/problems/time-out-of-range"]);
}
