//! Events that are received before they happen.

use super::*;

#[test]
fn an_event_more_than_five_minutes_ahead_of_its_record_is_skewed() {
    let encoded = encode(&api_call(), &Framing::SingleObject);
    // Later than the event's own time by so many milliseconds; none: nobody noted when it was received.
    for (received, skewed) in [
        (Some(0), false),
        (Some(60_000), false),
        (Some(-299_000), false),
        (Some(-301_000), true),
        (Some(-23 * 3_600_000), true),
        (None, false),
    ] {
        let timestamp_ms = received.map_or(-1, |after: i64| noon().timestamp_millis() + after);
        let answer = decode_encoded(Topic::Activity, &encoded, timestamp_ms, &OwnRegistry);
        let Ok(Decoded::Event(envelope)) = answer else { panic!("{received:?}: {answer:?}") };
        assert_eq!(envelope.skewed, skewed, "{received:?}");
        assert_eq!(
            envelope.content_sha256(),
            api_call().content_sha256(),
            "it is the same event all the same"
        );
    }
}

#[test]
fn an_event_states_its_time_in_a_header_or_in_structured_mode_in_its_value() {
    let header = |name: &'static str, value: &'static str| (name, Some(value.as_bytes()));
    let check = |headers: &[(&str, Option<&[u8]>)], value: Option<&str>, expected: bool| {
        assert_eq!(states_time(headers, value.map(str::as_bytes)), expected, "{headers:?} {value:?}");
    };
    let time = header("ce_time", "2026-01-01T00:00:00Z");
    let inside = r#"{"specversion":"1.0","time":"2026-01-01T00:00:00Z"}"#;
    check(&[time], None, true);
    check(&[header("content-type", "application/json"), time], Some("{}"), true);
    check(&[("ce_time", None)], Some("{}"), false);
    check(&[], Some(inside), false);
    let structured = header("Content-Type", "Application/CloudEvents+JSON; charset=utf-8");
    check(&[structured], Some(inside), true);
    // A structured event has its attributes in its value alone.
    check(&[structured, time], Some(r#"{"specversion":"1.0"}"#), false);
    for value in [r#"{"time":null}"#, r#"{"data":{"time":"2026-01-01T00:00:00Z"}}"#, "{", ""] {
        check(&[structured], Some(value), false);
    }
    check(&[structured], None, false);
}

#[test]
fn an_event_over_http_is_held_against_the_receivers_clock() {
    let tenant = TenantId::new("acme").expect("valid");
    let text = r#"{"specversion":"1.0","id":"a","source":"/x","type":"t","time":"2026-01-01T00:06:00Z"}"#;
    for (now, skewed) in [("2026-01-01T00:00:00Z", true), ("2026-01-01T00:01:00Z", false)] {
        let now: Timestamp = now.parse().expect("an instant");
        let envelope = json::parse_structured(text.as_bytes(), &tenant, now).expect("an event");
        assert_eq!(envelope.skewed, skewed, "{now}");
    }
}
