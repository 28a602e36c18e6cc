//! Texts that are not JSON or exceed a limit.

use super::*;

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
    // Data of a type that is not ours is bounded as native records are.
    for (good, bad) in [
        (nested(64), nested(65)),
        (object(10_000), object(10_001)),
        (array(10_000), array(10_001)),
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
    for bad in [nested(10_000), nested(1_000_000), object(100_000), "1e400".into(), "1e100000".into()] {
        assert_eq!(why(foreign(&bad)), Why::OverLimit);
    }
    // That of ours by the limits of events: the event and its data are two levels of 32.
    let escaped = |text: &str| format!(r#""{text}{}""#, r"\u00e9".repeat(32 * 1024));
    for (good, bad) in [
        (nested(30), nested(31)),
        (object(256), object(257)),
        (text(64 * 1024), text(64 * 1024 + 1)),
        (escaped(""), escaped("x")),
    ] {
        assert!(parse(activity_with(&format!(r#""x":{good}"#))).is_ok(), "{}", &good[..40.min(good.len())]);
        assert_eq!(
            why(activity_with(&format!(r#""x":{bad}"#))),
            Why::OverLimit,
            "{}",
            &bad[..40.min(bad.len())]
        );
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
            Some("application/json"),
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
fn a_batch_answers_event_by_event() {
    let batch =
        |items: &[String]| parse_batch(format!(" [ {} ] ", items.join(" , ")).as_bytes(), &tenant(), now());
    let good = foreign(r#"{"a":"],[\"\\"}"#);
    let answers = batch(&[
        good.clone(),
        foreign(&nested(70)),
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
    assert_eq!(
        parse_batch(b" [ \n ] ", &tenant(), now()).map(|events| events.len()),
        Ok(0),
        "an empty batch is one"
    );
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
