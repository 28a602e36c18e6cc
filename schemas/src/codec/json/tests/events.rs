//! JSON texts that are events or are refused as such.

use chrono::TimeDelta;
use rust_decimal::Decimal;

use super::*;
use crate::{
    EventId,
    events::{ActivityKind, Usage},
};

#[test]
fn the_kind_follows_from_the_type() {
    let envelope = parse(of_type("activity.sign_in_failed", ACTIVITY)).expect("accepted");
    assert_eq!(activity(&envelope).kind, ActivityKind::SignInFailed);
    assert_eq!(activity(&envelope).action, "CreateUser");
    assert_eq!(envelope.tenant, tenant());
    let same = of_type("activity.signed_in", r#"{"actor":{"id":"a"},"action":"x","kind":"SignedIn"}"#);
    assert!(parse(same).is_ok());
    let other = of_type("activity.signed_in", r#"{"actor":{"id":"a"},"action":"x","kind":"ApiCalled"}"#);
    assert_eq!(why(other), Why::InvalidEvent);
}

#[test]
fn a_foreign_type_is_an_activity_with_its_data_verbatim() {
    let data = r#"{ "b" : 9007199254740993, "a":[-0, 1.10] , "b":"\u00e9" }"#;
    let body = foreign(data).replace(r#""id":"1""#, r#""id":"1","subject":"orders/7","authid":"bob""#);
    let envelope = parse(body).expect("accepted");
    let found = activity(&envelope);
    assert_eq!((found.kind, found.action.as_str()), (ActivityKind::ApiCalled, "com.example.thing"));
    assert_eq!((found.actor.id.as_str(), found.resources[0].id.as_str()), ("bob", "orders/7"));
    let kept = envelope.native.expect("a native record");
    assert_eq!((kept.format.as_str(), &*kept.record), ("cloudevents", data));

    assert_eq!(native(&foreign(r#""two\nlines""#)), "two\nlines");
    assert_eq!(native(&foreign("null")), "null");
    assert_eq!(native(&foreign("{}").replace(r#""data":{}"#, r#""data_base64":"AQI=""#)), "AQI=");
    assert_eq!(parse(foreign("0").replace(r#","data":0"#, "")).expect("accepted").native, None);
    assert!(parse(of_type("activity.flown", "{}")).is_ok(), "a kind that is not known yet");
}

#[test]
fn a_native_record_is_kept_to_the_byte() {
    let body =
        |record: &str| activity_with(&format!(r#""native":{{"format":"aws.cloudtrail","record":{record}}}"#));
    let record = r#"{"n":1.000000000000000000000000001, "z":-0,"s":"\u2028\/"  }"#;
    assert_eq!(native(&body(record)), record);
    assert_eq!(native(&body(r#""{\"a\": 1}""#)), r#"{"a": 1}"#);
    assert_eq!(parse(activity_with(r#""native":null"#)).map(|e| e.native), Ok(None));
    for bad in [
        r#"{"format":"x"}"#,
        r#"{"record":1}"#,
        r#"{"format":"","record":1}"#,
        "1",
        r#"{"format":1,"record":1}"#,
    ] {
        assert_eq!(why(activity_with(&format!(r#""native":{bad}"#))), Why::InvalidEvent, "{bad}");
    }
    assert_eq!(why(activity_with(r#""native":null,"native":null"#)), Why::InvalidEvent);
}

#[test]
fn envelopes_need_their_attributes() {
    let good = foreign("1");
    for (part, instead) in [
        (r#""id":"1","#, ""),
        (r#""id":"1""#, r#""id":"""#),
        (r#""id":"1""#, r#""id":null"#),
        (r#""id":"1""#, r#""id":1"#),
        (r#""source":"/s","#, ""),
        (r#""source":"/s""#, r#""source":"""#),
        (r#""source":"/s""#, r#""source":"a b""#),
        (r#""type":"com.example.thing","#, ""),
        (r#""type":"com.example.thing""#, r#""type":"""#),
        (r#""specversion":"1.0","#, ""),
        (r#""specversion":"1.0""#, r#""specversion":"0.3""#),
        (r#""specversion":"1.0""#, r#""specversion":1.0"#),
        (r#""data":1"#, r#""data":1,"data_base64":"AQ==""#),
    ] {
        let body = good.replace(part, instead);
        assert_ne!(body, good);
        assert_eq!(why(&body), Why::InvalidEnvelope, "{body}");
    }
    assert_eq!(Why::InvalidEnvelope.problem(), ProblemKind::InvalidEnvelope);
    assert_eq!(Why::InvalidEnvelope.park_reason(), ParkReason::EnvelopeInvalid);
}

#[test]
fn the_tenant_is_the_credentials() {
    let named = |name: &str| foreign("1").replace(r#""id":"1""#, &format!(r#""id":"1","tenantid":"{name}""#));
    assert_eq!(parse(named("acme")).map(|e| e.tenant), Ok(tenant()));
    assert_eq!(why(named("other")), Why::OtherTenant);
    assert_eq!(Why::OtherTenant.problem(), ProblemKind::OtherTenant);
}

#[test]
fn events_must_fit_their_schema() {
    for data in [
        r#"{"actor":{"id":"a"}}"#,
        r#"{"action":"a"}"#,
        r#"{"action":"a","actor":null}"#,
        r#"{"action":1,"actor":{"id":"a"}}"#,
        r#"{"action":"a","actor":{"id":"a"},"resources":null}"#,
        r#"{"action":"a","actor":{"id":"a","kind":"Robot"}}"#,
        r#"{"action":"a","actor":{"id":"a"},"outcome":{"status":"Maybe"}}"#,
        r#"{"action":"a","action":"b","actor":{"id":"a"}}"#,
        r#"{"action":"a","actor":{"id":"a"},"read_only":"yes"}"#,
        "null",
        "[]",
        "1",
        r#""text""#,
        "{}",
    ] {
        assert_eq!(why(of_type("activity.api_called", data)), Why::InvalidEvent, "{data}");
    }
    assert_eq!(why(of_type("activity.api_called", "0").replace(r#","data":0"#, "")), Why::InvalidEvent);
    let base64 = of_type("activity.api_called", "0").replace(r#""data":0"#, r#""data_base64":"e30=""#);
    assert_eq!(why(base64), Why::InvalidEvent);
    assert_eq!(Why::InvalidEvent.problem(), ProblemKind::InvalidEvent);
    assert_eq!(Why::InvalidEvent.park_reason(), ParkReason::EventInvalid);
}

#[test]
fn a_refusal_says_what_is_wrong_and_quotes_nothing() {
    let detail = |data: &str| parse(of_type("activity.api_called", data)).expect_err("refused").detail;
    assert_eq!(detail(r#"{"actor":{"id":"a"}}"#), "data, line 1 column 20: missing field `action`");
    let with_secret = [
        r#"{"action":{"x":"hunter2"},"actor":{"id":"a"}}"#,
        r#"{"action":"a","actor":"hunter2"}"#,
        r#"{"action":"a","actor":{"id":"a","kind":"hunter2"}}"#,
        r#"{"action":"a","actor":{"id":"a","mfa":"hunter2, expected \"hunter2\""}}"#,
        r#"{"action":"a","actor":{"id":"a"},"kind":"hunter2"}"#,
        r#"{"action":"a","actor":{"id":"a"},"native":"hunter2"}"#,
    ];
    for data in with_secret {
        let detail = detail(data);
        assert!(!detail.contains("hunter2") && detail.len() > 10, "{detail}");
    }
}

fn charge(change: &str, instead: &str) -> String {
    let data = r#"{"billing_account_id":"1","provider_name":"AWS","service_name":"EC2","charge_category":"Usage","charge_period_start":"2024-05-01T00:00:00Z","charge_period_end":"2024-05-02T00:00:00+02:00","billing_currency":"USD","billed_cost":20.52022672899}"#;
    let changed = data.replace(change, instead);
    assert!(changed != data || change == instead, "{change}");
    of_type("usage.charge_recorded", &changed)
}

fn usage(body: &str) -> Usage {
    let Event::Usage(usage) = parse(body).expect("accepted").event else { panic!("not a charge") };
    usage
}

#[test]
fn money_keeps_its_digits_and_bad_charges_are_told() {
    let cost = "20.52022672899";
    assert_eq!(usage(&charge("", "")).billed_cost, Decimal::new(2_052_022_672_899, 11));
    for good in
        ["-1", "\"-1\"", "9223372036854775807", "-9223372036854775808", "\"0.00000000001\"", "1e2", "-0"]
    {
        let expected = good.trim_matches('"').parse().unwrap_or(Decimal::ONE_HUNDRED);
        assert_eq!(usage(&charge(cost, good)).billed_cost, expected, "{good}");
    }
    for bad in ["1e-29", "1e300", "null", "true", "\"twelve\"", "\"\"", "[1]", "\"1,5\""] {
        assert_eq!(why(charge(cost, bad)), Why::InvalidEvent, "{bad}");
    }
    for bad in ["US$", "usd", "USDT", ""] {
        assert_eq!(why(charge("USD", bad)), Why::InvalidEvent, "{bad}");
    }
    for bad in ["\"2024-05-01\"", "\"2024-05-01T00:00:00\"", "1714521600", "\"0000-01-01T00:00:00Z\"", "null"]
    {
        assert_eq!(why(charge("\"2024-05-01T00:00:00Z\"", bad)), Why::InvalidEvent, "{bad}");
    }
    let quantity = |text: &str| {
        of_type("infrastructure.scaled", &format!(r#"{{"resource":{{"id":"r"}},"quantity":"{text}"}}"#))
    };
    assert!(parse(quantity("12.5")).is_ok());
    assert_eq!(why(quantity("a dozen")), Why::InvalidEvent);
    let duration =
        |n: &str| of_type("delivery.job_finished", &format!(r#"{{"project":"p","duration_ms":{n}}}"#));
    assert!(parse(duration("-9223372036854775808")).is_ok());
    assert_eq!(why(duration("9223372036854775808")), Why::InvalidEvent);
    assert_eq!(why(duration("1.5")), Why::InvalidEvent);
}

#[test]
fn time_has_a_zone_and_a_range() {
    let at = |time: &str| foreign("1").replace(r#""2024-05-06T07:00:00Z""#, time);
    for (time, expected) in [
        (r#""2024-05-06T07:00:00""#, Why::InvalidEvent),
        (r#""yesterday""#, Why::InvalidEvent),
        ("1714979289", Why::InvalidEvent),
        (r#""0000-01-01T00:00:00Z""#, Why::InvalidEvent),
        (r#""294277-01-10T04:00:54Z""#, Why::InvalidEvent),
        (r#""2016-12-31T23:59:60Z""#, Why::InvalidEvent),
        (r#""1969-12-31T23:59:59Z""#, Why::TimeOutOfRange),
        (r#""1999-12-31T23:59:59.999999Z""#, Why::TimeOutOfRange),
        (r#""2024-05-07T07:08:09.000001Z""#, Why::TimeOutOfRange),
        (r#""2024-05-07T08:08:09Z""#, Why::TimeOutOfRange),
        (r#""9999-12-31T23:59:59Z""#, Why::TimeOutOfRange),
    ] {
        assert_eq!(why(at(time)), expected, "{time}");
    }
    assert_eq!(Why::TimeOutOfRange.problem(), ProblemKind::TimeOutOfRange);
    for good in [r#""2000-01-01T00:00:00Z""#, r#""2024-05-07T07:08:09Z""#, r#""2024-05-07T21:08:09+14:00""#] {
        assert!(parse(at(good)).is_ok(), "{good}");
    }
    let untimed = foreign("1").replace(r#""time":"2024-05-06T07:00:00Z","#, "");
    assert_eq!(parse(untimed).map(|e| e.occurred_at), Ok(now()));
    let ahead = parse(at(r#""2024-05-07T07:08:09Z""#)).expect("accepted");
    assert_eq!(ahead.occurred_at - now(), TimeDelta::hours(24));
}

#[test]
fn the_unusual_is_accepted() {
    for body in [
        activity_with(r#""extra":{"deep":[1,2]}"#),
        activity_with(r#""__proto__":{"admin":true}"#),
        activity_with(r#""constructor":1"#),
        foreign("-0"),
        foreign("9007199254740993"),
        foreign("1").replace(r#""id":"1""#, r#""id":"1","anextension":true,"another":null"#),
        foreign("1").replace(r#""/s""#, r#""/s","subject":"\r\n\u001b[31m{\"level\":\"error\"}\u202e""#),
        format!(" \r\n\t{} \n", foreign("1")),
    ] {
        assert!(parse(&body).is_ok(), "{body}");
    }
    let id = |id: &str| parse(foreign("1").replace(r#""id":"1""#, &format!(r#""id":"{id}""#))).map(|e| e.id);
    for text in ["order 7", "0192f0c1-2345-7abc-8def-0123456789ab", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(id(text), Ok(EventId::derived(&tenant(), "/s", text.as_bytes())));
    }
}

#[test]
fn binary_attributes_are_percent_decoded_and_unique() {
    let attributes = |more: &[(&'static str, &'static [u8])]| {
        let mut all =
            vec![("specversion", &b"1.0"[..]), ("id", b"7"), ("source", b"/s"), ("type", b"com.example.a")];
        all.extend_from_slice(more);
        parse_binary(all, Some("application/json"), br#"{"a":1}"#, &tenant(), now())
    };
    let subject = |value| attributes(&[("subject", value)]).map(|e| e.subject).map_err(|refusal| refusal.why);
    assert_eq!(subject(b"Euro %E2%82%AC%20%F0%9F%98%80"), Ok(Some("Euro € 😀".into())));
    assert_eq!(subject("raw €".as_bytes()), Ok(Some("raw €".into())));
    assert_eq!(subject(b"100%"), Ok(Some("100%".into())));
    assert_eq!(subject(br#""a b""#), Ok(Some("a b".into())), "quotes are the header's");
    assert_eq!(subject(br#""a \"b\" \\ %25""#), Ok(Some(r#"a "b" \ %"#.into())));
    assert_eq!(subject(br#"a "b""#), Ok(Some(r#"a "b""#.into())));
    assert_eq!(subject(br#""a"b"#), Ok(Some(r#""a"b"#.into())));
    assert_eq!(subject(b"%FF"), Err(Why::InvalidEnvelope));
    // ISO 8859-1, quoted or not, beside what is encoded.
    assert_eq!(subject(b"caf\xe9%20%C3%A9"), Ok(Some("café é".into())));
    assert_eq!(subject(b"\"\xfcber\""), Ok(Some("über".into())));
    assert_eq!(subject(b"%00"), Err(Why::Unstorable));
    let twice = attributes(&[("id", b"8")]).map_err(|refusal| refusal.why);
    assert_eq!(twice.expect_err("twice"), Why::InvalidEnvelope);
    assert_eq!(attributes(&[]).expect("accepted").native.expect("kept").record, r#"{"a":1}"#);
}

/// Format and text of the native record that data of that type becomes in binary mode.
fn kept(content_type: Option<&str>, body: &[u8]) -> Option<(String, String)> {
    let attributes =
        [("specversion", &b"1.0"[..]), ("id", b"7"), ("source", b"/s"), ("type", b"com.example.a")];
    let event = parse_binary(attributes, content_type, body, &tenant(), now()).expect("taken");
    event.native.map(|native| (native.format, native.record.to_string()))
}

#[test]
fn binary_mode_takes_data_of_any_type_and_none() {
    let told = |format: &str, text: &str| Some((format.to_owned(), text.to_owned()));
    assert_eq!(kept(Some("text/plain"), b"hello"), told("cloudevents", "hello"));
    assert_eq!(kept(Some("application/xml; charset=utf-8"), b"<a/>"), told("cloudevents", "<a/>"));
    assert_eq!(kept(Some("text/plain; charset=latin1"), b"\xe4"), told("cloudevents.base64", "5A=="));
    assert_eq!(kept(Some("application/octet-stream"), b"\0\x01"), told("cloudevents.base64", "AAE="));
    assert_eq!(kept(None, br#"{"a":1}"#), told("cloudevents", r#"{"a":1}"#));
    assert_eq!(kept(None, b"hello"), told("cloudevents", "hello"));
    assert_eq!(kept(None, b"\xff"), told("cloudevents.base64", "/w=="));
    for content_type in [None, Some("application/json"), Some("text/plain")] {
        assert_eq!(kept(content_type, b""), None);
    }
    let attributes =
        [("specversion", &b"1.0"[..]), ("id", b"7"), ("source", b"/s"), ("type", b"com.example.a")];
    let refused = parse_binary(attributes, Some("application/json"), b"{", &tenant(), now());
    assert_eq!(refused.map_err(|refusal| refusal.why).map(drop), Err(Why::InvalidJson));
    // The same in either mode.
    let structured = parse(foreign(r#""hello""#)).expect("taken").native.expect("kept");
    assert_eq!(Some((structured.format, structured.record.to_string())), kept(Some("text/plain"), b"hello"));
}

#[test]
fn data_of_unknown_types_is_kept_beyond_the_limits_of_events() {
    let keys: Vec<String> = (0..1_000).map(|n| format!(r#""k{n}":1"#)).collect();
    let deep = format!("{}1{}", "[".repeat(50), "]".repeat(50));
    let long = format!(r#""{}""#, "x".repeat(200_000));
    for data in [format!("{{{}}}", keys.join(",")), deep, long] {
        assert!(parse(foreign(&data)).is_ok(), "{}", &data[..40]);
        let body = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{data}}}"#);
        assert!(parse(body).is_ok(), "{}", &data[..40]);
    }
    let bytes = "AAAA".repeat(50_000);
    let encoded = foreign("1").replace(r#""data":1"#, &format!(r#""data_base64":"{bytes}""#));
    assert_eq!(parse(encoded).expect("taken").native.expect("kept").record.len(), 200_000);
}

#[test]
fn base64_that_is_none_is_refused() {
    for bad in ["hello!", "AQ", "AQ=", "A", "AQ==AQ==", "-_8="] {
        let body = foreign("1").replace(r#""data":1"#, &format!(r#""data_base64":"{bad}""#));
        assert_eq!(why(body), Why::InvalidEnvelope, "{bad}");
    }
}
