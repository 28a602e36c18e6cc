//! Records of common Kafka producers: those that are accepted, and helpful errors for the others.

use super::*;

fn record<'a>(headers: &'a [(&'a str, Option<&'a [u8]>)], value: Option<&'a [u8]>) -> Incoming<'a> {
    Incoming { topic: Topic::Activity, key: None, value, headers, timestamp_ms: noon().timestamp_millis() }
}

const HEARTBEAT: [(&str, Option<&[u8]>); 6] = [
    ("ce_specversion", Some(b"1.0")),
    ("ce_id", Some(b"7")),
    ("ce_source", Some(b"/nodata")),
    ("ce_type", Some(b"com.example.heartbeat")),
    ("ce_subject", Some(b"machine-7")),
    ("ce_tenantid", Some(b"acme")),
];

fn event(incoming: &Incoming<'_>) -> Envelope {
    match decode(incoming, &NoRegistry) {
        Ok(Decoded::Event(envelope)) => *envelope,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_event_without_data_is_an_event() {
    let json = [&HEARTBEAT[..], &[("content-type", Some(&b"application/json"[..]))]].concat();
    for headers in [&HEARTBEAT[..], &json] {
        for value in [None, Some(&b""[..])] {
            let envelope = event(&record(headers, value));
            let Event::Activity(activity) = &envelope.event else { panic!("an activity") };
            assert_eq!(
                (activity.action.as_str(), activity.resources[0].id.as_str()),
                ("com.example.heartbeat", "machine-7")
            );
            assert_eq!(envelope.native, None);
        }
    }
    assert_eq!(decode(&record(&[], None), &NoRegistry), Ok(Decoded::Tombstone), "of no event");
    assert_eq!(decode(&record(&[("x", Some(b"1"))], None), &NoRegistry), Ok(Decoded::Tombstone));
    let own = HEARTBEAT.map(|(name, value)| {
        (name, if name == "ce_type" { Some(&b"io.weir.activity.api_called.v1"[..]) } else { value })
    });
    assert_eq!(reason(decode(&record(&own, None), &NoRegistry)), ParkReason::EventInvalid);
}

#[test]
fn data_of_any_media_type_is_kept() {
    let with = |content_type: &'static [u8], value: &'static [u8]| {
        let headers = [&HEARTBEAT[..], &[("content-type", Some(content_type))]].concat();
        event(&record(&headers, Some(value))).native.map(|native| (native.format, native.record.to_string()))
    };
    assert_eq!(with(b"text/plain", b"hello"), Some(("cloudevents".into(), "hello".into())));
    assert_eq!(with(b"application/octet-stream", b"\0"), Some(("cloudevents.base64".into(), "AA==".into())));
    assert_eq!(with(b"application/vnd.acme+json", b"{}"), Some(("cloudevents".into(), "{}".into())));
}

#[test]
fn a_refusal_says_what_to_change() {
    #[track_caller]
    fn check(headers: &[(&str, Option<&[u8]>)], value: &[u8], word: &str) {
        match decode(&record(headers, Some(value)), &NoRegistry) {
            Err(DecodeError::Refused { detail, .. }) => assert!(detail.contains(word), "{detail}"),
            other => panic!("{other:?}"),
        }
    }
    let typed = |value: &'static [u8]| [&HEARTBEAT[..], &[("content-type", Some(value))]].concat();
    let spring = [&HEARTBEAT[..], &[("ce_datacontenttype", Some(&b"application/json"[..]))]].concat();
    check(&spring, b"{\"a\":1}", "set the header content-type: application/json");
    check(&typed(b"application/json"), b"\0\0\0\0\x07{\"a\":1}", "begins with Confluent's framing");
    let glue = [&[3, 0][..], &[0x11; 16], b"abc"].concat();
    check(&HEARTBEAT, &glue, "AWS Glue");
    let quoted =
        [("ce_specversion", Some(&b"\"1.0\""[..])), ("content-type", Some(&b"\"application/json\""[..]))];
    check(&quoted, b"{}", "header values stand in quotes");
    let of_http =
        [("ce-specversion", Some(&b"1.0"[..])), ("ce-id", Some(&b"1"[..])), ("ce-type", Some(&b"t"[..]))];
    check(&of_http, b"{}", "headers begin with ce-");
    check(&typed(b"nonsense"), b"{}", "no media type");
}
