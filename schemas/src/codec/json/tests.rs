//! JSON as strangers send it: what a publisher is told, what a record is parked for.

use chrono::TimeDelta;
use proptest::{collection, prelude::*};
use rust_decimal::Decimal;

use super::*;
use crate::{
    Event, EventId, ParkReason,
    events::{Activity, ActivityKind, Usage},
    problem::ProblemKind,
};

const ACTIVITY: &str = r#"{"action":"CreateUser","actor":{"id":"alice"}}"#;

fn tenant() -> TenantId {
    TenantId::new("acme").expect("valid")
}

fn now() -> Timestamp {
    "2024-05-06T07:08:09Z".parse().expect("an instant")
}

fn parse(body: impl AsRef<[u8]>) -> Result<Envelope, Refusal> {
    parse_structured(body.as_ref(), &tenant(), now())
}

/// A structured event with this `data`, of one of our types.
fn of_type(kind: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"io.weir.{kind}.v1","time":"2024-05-06T07:00:00Z","data":{data}}}"#
    )
}

/// A structured event of somebody else's type with this `data`.
fn foreign(data: &str) -> String {
    of_type("x", data).replace("io.weir.x.v1", "com.example.thing")
}

/// An API call with further members of its data.
fn activity_with(members: &str) -> String {
    of_type("activity.api_called", &format!(r#"{{"action":"a","actor":{{"id":"alice"}},{members}}}"#))
}

fn why(body: impl AsRef<[u8]>) -> Why {
    let refusal = parse(body).expect_err("refused");
    assert!(!refusal.detail.is_empty());
    refusal.why
}

fn activity(envelope: &Envelope) -> &Activity {
    let Event::Activity(activity) = &envelope.event else { panic!("not an activity") };
    activity
}

fn native(body: &str) -> String {
    parse(body).expect("accepted").native.expect("a native record").record
}

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
    assert_eq!((kept.format.as_str(), kept.record.as_str()), ("cloudevents", data));

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
fn what_is_not_json_is_invalid_json() {
    let good = of_type("activity.api_called", ACTIVITY);
    for length in 0..good.len() {
        assert_eq!(why(&good[..length]), Why::InvalidJson, "{length}");
    }
    for bad in [
        format!("{good}x"),
        format!("{good}{good}"),
        format!("\u{feff}{good}"),
        "NaN".into(),
        "1".into(),
        "\"text\"".into(),
        "null".into(),
        "[]".into(),
        format!("[{good}]"),
        good.replace(r#""id":"1""#, r#""id":"1","id":"1""#),
        good.replace(r#""id":"1""#, r#""id":"1","other":1,"other":2"#),
        good.replace(r#""id":"1""#, r#""id":"\ud800""#),
        good.replace("CreateUser", r"\udc00"),
        good.replace("CreateUser", r"\ud800\u0041"),
        good.replace("CreateUser", r"\uZZZZ"),
        good.replace("CreateUser", "a\tb"),
        good.replace("CreateUser", "a\0b"),
        good.replace(r#""CreateUser""#, "NaN"),
        good.replace(r#""CreateUser""#, "'a'"),
        good.replace(r#""CreateUser""#, "01"),
    ] {
        assert_eq!(why(&bad), Why::InvalidJson, "{bad}");
    }
    let invalid: [&[u8]; 3] = [b"\xFF", b"\xC0\xAF", b"\xED\xA0\x80"];
    for bytes in invalid {
        let body = [good.as_bytes(), bytes].concat();
        assert_eq!(why(&body), Why::InvalidJson, "{bytes:?}");
    }
    assert_eq!(Why::InvalidJson.problem(), ProblemKind::InvalidJson);
    assert_eq!(Why::InvalidJson.park_reason(), ParkReason::Undecodable);
}

#[test]
fn a_nul_is_unstorable_wherever_it_stands() {
    let escaped = r"\u0000";
    for body in [
        of_type("activity.api_called", ACTIVITY).replace("alice", escaped),
        foreign(&format!(r#"{{"{escaped}":1}}"#)),
        foreign(r#""x""#).replace(r#""/s""#, &format!(r#""{escaped}""#)),
        activity_with(&format!(r#""native":{{"format":"x","record":{{"a":"{escaped}"}}}}"#)),
    ] {
        assert_eq!(why(&body), Why::Unstorable, "{body}");
    }
    assert_eq!(native(&foreign(r#"{"a":"\\u0000"}"#)), r#"{"a":"\\u0000"}"#);
    assert_eq!(Why::Unstorable.problem(), ProblemKind::InvalidJson);
    assert_eq!(Why::Unstorable.park_reason(), ParkReason::Unstorable);
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn object(keys: usize) -> String {
    let members: Vec<_> = (0..keys).map(|key| format!(r#""k{key}":0"#)).collect();
    format!("{{{}}}", members.join(","))
}

fn array(items: usize) -> String {
    format!("[{}]", vec!["0"; items].join(","))
}

#[test]
fn limits_hold_to_the_last_one() {
    let text = |bytes: usize| format!(r#""{}""#, "x".repeat(bytes));
    // The event itself is one level, so 31 are left for its data.
    for (good, bad) in [
        (nested(31), nested(32)),
        (object(256), object(257)),
        (array(10_000), array(10_001)),
        (text(64 * 1024), text(64 * 1024 + 1)),
        (format!(r#""{}""#, r"\u00e9".repeat(32 * 1024)), format!(r#""x{}""#, r"\u00e9".repeat(32 * 1024))),
        ("9".repeat(40), "9".repeat(41)),
        (format!("0.{}", "1".repeat(39)), format!("0.{}", "1".repeat(40))),
        ("1e308".into(), "1e309".into()),
        ("1e-308".into(), "1E-309".into()),
    ] {
        assert_eq!(
            native(&foreign(&good)),
            if good.starts_with('"') { serde_json::from_str(&good).expect("text") } else { good }
        );
        assert_eq!(why(foreign(&bad)), Why::OverLimit, "{}", &bad[..40.min(bad.len())]);
    }
    for bad in
        [nested(33), nested(10_000), nested(1_000_000), object(100_000), "1e400".into(), "1e100000".into()]
    {
        assert_eq!(why(foreign(&bad)), Why::OverLimit);
    }
    assert_eq!(why("[".repeat(1_000_000)), Why::OverLimit);
    assert_eq!(Why::OverLimit.problem(), ProblemKind::JsonLimit);
    assert_eq!(Why::OverLimit.park_reason(), ParkReason::LimitExceeded);
}

#[test]
fn a_native_record_has_limits_of_its_own() {
    let body = |record: &str| activity_with(&format!(r#""native":{{"format":"x","record":{record}}}"#));
    let long = format!(r#""{}""#, "x".repeat(200_000));
    // `native` itself is one level of its 64.
    for good in [nested(63), object(10_000), array(10_000), format!("[{long}]")] {
        assert_eq!(native(&body(&good)), good);
    }
    assert_eq!(native(&body(&long)).len(), 200_000);
    for bad in [nested(64), object(10_001), array(10_001), "1e309".into()] {
        assert_eq!(why(body(&bad)), Why::OverLimit);
    }
    // Beside it, and elsewhere under that name, the event's own limits hold.
    assert_eq!(
        why(activity_with(&format!(
            r#""native":{{"format":"x","record":{}}},"x":{}"#,
            nested(60),
            nested(31)
        ))),
        Why::OverLimit
    );
    assert_eq!(why(activity_with(&format!(r#""x":{{"native":{}}}"#, nested(40)))), Why::OverLimit);
    assert_eq!(
        why(foreign("1").replace(r#""id":"1""#, &format!(r#""id":"1","native":{}"#, nested(40)))),
        Why::OverLimit
    );
    let binary = |data: &str| {
        parse_binary(
            [
                ("specversion", &b"1.0"[..]),
                ("id", b"1"),
                ("source", b"/s"),
                ("type", b"io.weir.activity.api_called.v1"),
            ],
            data.as_bytes(),
            &tenant(),
            now(),
        )
    };
    let data = |record: &str| {
        format!(r#"{{"action":"a","actor":{{"id":"a"}},"native":{{"format":"x","record":{record}}}}}"#)
    };
    assert!(binary(&data(&nested(63))).is_ok());
    assert_eq!(binary(&data(&nested(64))).map_err(|refusal| refusal.why), Err(Why::OverLimit));
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
    let nil = good.replace(r#""id":"1""#, r#""id":"00000000-0000-0000-0000-000000000000""#);
    assert_eq!(why(nil), Why::InvalidEvent);
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
    assert_eq!(detail(r#"{"actor":{"id":"a"}}"#), "missing field `action` at line 1 column 20");
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
    for bad in ["1e-20", "1e300", "null", "true", "\"twelve\"", "\"\"", "[1]", "\"1,5\""] {
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
    let plain = id("0192f0c1-2345-7abc-8def-0123456789ab");
    assert!(plain.is_ok());
    assert_eq!(plain, id("{0192F0C1-2345-7ABC-8DEF-0123456789AB}"));
    assert_eq!(id("order 7"), Ok(EventId::derived(&tenant(), "/s", b"order 7")));
}

#[test]
fn binary_attributes_are_percent_decoded_and_unique() {
    let attributes = |more: &[(&'static str, &'static [u8])]| {
        let mut all =
            vec![("specversion", &b"1.0"[..]), ("id", b"7"), ("source", b"/s"), ("type", b"com.example.a")];
        all.extend_from_slice(more);
        parse_binary(all, br#"{"a":1}"#, &tenant(), now())
    };
    let subject = |value| attributes(&[("subject", value)]).map(|e| e.subject).map_err(|refusal| refusal.why);
    assert_eq!(subject(b"Euro %E2%82%AC%20%F0%9F%98%80"), Ok(Some("Euro € 😀".into())));
    assert_eq!(subject("raw €".as_bytes()), Ok(Some("raw €".into())));
    assert_eq!(subject(b"100%"), Ok(Some("100%".into())));
    assert_eq!(subject(b"%FF"), Err(Why::InvalidEnvelope));
    assert_eq!(subject(b"%00"), Err(Why::Unstorable));
    let twice = attributes(&[("id", b"8")]).map_err(|refusal| refusal.why);
    assert_eq!(twice.expect_err("twice"), Why::InvalidEnvelope);
    assert_eq!(attributes(&[]).expect("accepted").native.expect("kept").record, r#"{"a":1}"#);
}

#[test]
fn a_batch_answers_event_by_event() {
    let batch =
        |items: &[String]| parse_batch(format!(" [ {} ] ", items.join(" , ")).as_bytes(), &tenant(), now());
    let good = foreign(r#"{"a":"],[\"\\"}"#);
    let answers = batch(&[
        good.clone(),
        foreign(&nested(40)),
        "{]".into(),
        "7".into(),
        foreign("1").replace("1.0", "0.3"),
        good,
    ]);
    let answers: Vec<_> =
        answers.expect("a batch").into_iter().map(|answer| answer.map_err(|r| r.why).err()).collect();
    assert_eq!(answers[0], None);
    assert_eq!(answers[1], Some(Why::OverLimit));
    assert_eq!(answers.last(), Some(&None));

    let whole =
        |body: &str| parse_batch(body.as_bytes(), &tenant(), now()).map_err(|refusal| refusal.why).err();
    assert_eq!(whole("[]"), Some(Why::InvalidEnvelope));
    assert_eq!(whole(" [ \n ] "), Some(Why::InvalidEnvelope));
    for malformed in
        ["", "{}", "[", "]", "[1", "1]", "[1,]", "[,1]", "[1]]", "[[1]", r#"["]"#, "[\"\\\"]", "\u{feff}[1]"]
    {
        assert_eq!(whole(malformed), Some(Why::InvalidJson), "{malformed}");
    }
    assert_eq!(whole(&format!("[{}]", vec!["1"; 10_001].join(","))), Some(Why::BatchTooLarge));
    assert_eq!(Why::BatchTooLarge.problem(), ProblemKind::BatchTooLarge);
    let most = parse_batch(format!("[{}]", vec!["1"; 10_000].join(",")).as_bytes(), &tenant(), now());
    assert_eq!(most.map(|answers| answers.len()), Ok(10_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_answered(body in collection::vec(any::<u8>(), 0..200)) {
        drop(parse(&body));
        drop(parse_batch(&body, &tenant(), now()));
        drop(parse_binary([("specversion", body.as_slice())], &body, &tenant(), now()));
    }

    #[test]
    fn any_json_like_text_is_answered(body in r#"[\[\]{}",:\\u0-9dDa-f.eE+ -]{0,120}"#) {
        drop(parse(&body));
        drop(parse_batch(body.as_bytes(), &tenant(), now()));
        // What the walk lets pass and the parser takes is then kept to the byte.
        if let Ok(envelope) = parse(foreign(&body)) {
            let text: Result<String, _> = serde_json::from_str(&body);
            prop_assert_eq!(envelope.native.map(|n| n.record), Some(text.unwrap_or_else(|_| body.trim().to_owned())));
        }
    }

    #[test]
    fn a_good_event_with_a_damaged_text_is_answered(at in 0_usize..300, instead in any::<char>()) {
        let good = activity_with(r#""native":{"format":"x","record":{"a":[1,"\ud83d\ude00"]}}"#);
        let at = good.floor_char_boundary(at.min(good.len()));
        let body = format!("{}{instead}{}", &good[..at], good.get(at + 1..).unwrap_or_default());
        drop(parse(body));
    }
}
