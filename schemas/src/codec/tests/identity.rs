//! Equality of events: records that are the same event, and records that are not.

use super::*;

fn tenant() -> TenantId {
    TenantId::new("acme").expect("valid")
}

#[track_caller]
fn over_http(body: &str, seconds: i64) -> Envelope {
    let now = noon() + chrono::TimeDelta::seconds(seconds);
    json::parse_structured(body.as_bytes(), &tenant(), now).expect("an event")
}

#[track_caller]
fn on_a_topic(headers: &[(&str, &str)], value: &[u8], seconds: i64) -> Envelope {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, Some(value.as_bytes()))).collect();
    let timestamp_ms = noon().timestamp_millis() + seconds * 1000;
    let incoming =
        Incoming { topic: Topic::Activity, key: None, value: Some(value), headers: &headers, timestamp_ms };
    match decode(&incoming, &NoRegistry) {
        Ok(Decoded::Event(envelope)) => *envelope,
        other => panic!("{other:?}"),
    }
}

fn again(envelope: &Envelope, seconds: i64) -> Envelope {
    let encoded = encode(envelope, &Framing::SingleObject);
    let at = noon().timestamp_millis() + seconds * 1000;
    match decode_encoded(envelope.event.topic(), &encoded, at, &NoRegistry) {
        Ok(Decoded::Event(envelope)) => *envelope,
        other => panic!("{other:?}"),
    }
}

fn identity(envelope: &Envelope) -> (EventId, [u8; 32]) {
    (envelope.id, envelope.content_sha256())
}

#[test]
fn a_retry_of_an_event_without_time_is_the_same_event_in_every_mode() {
    let body = r#"{"specversion":"1.0","id":"7","source":"/s","type":"com.example.t","data":{"n":1,"m":2}}"#;
    let first = over_http(body, 0);
    assert!(first.time_assumed);
    assert_eq!(first.occurred_at, noon());
    assert_eq!(identity(&first), identity(&over_http(body, 90)));
    // As the gateway writes it, read by a stage at another time.
    assert_eq!(again(&first, 500), first);
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", "7"),
        ("ce_source", "/s"),
        ("ce_type", "com.example.t"),
        ("ce_tenantid", "acme"),
        ("content-type", "application/json"),
    ];
    let record = on_a_topic(&headers, br#"{ "m": 2, "n": 1 }"#, 30);
    assert_eq!(identity(&record), identity(&first));
    assert_ne!(record.occurred_at, first.occurred_at);
    let whole = [("content-type", "application/cloudevents+json"), ("ce_tenantid", "acme")];
    assert_eq!(identity(&on_a_topic(&whole, body.as_bytes(), 60)), identity(&first));
    let timed = body.replace(r#""data""#, r#""time":"2024-01-05T08:00:00Z","data""#);
    assert_eq!(over_http(&timed, 0).id, first.id);
    assert_ne!(over_http(&timed, 0).content_sha256(), first.content_sha256());
}

#[test]
fn data_is_compared_by_value() {
    let with = |data: &str| {
        let body = format!(
            r#"{{"specversion":"1.0","id":"7","source":"/s","type":"t","time":"2024-01-05T08:00:00Z","data":{data}}}"#
        );
        over_http(&body, 0).content_sha256()
    };
    assert_eq!(with(r#"{"n":1,"m":{"b":null,"a":[1.0]}}"#), with("{\"m\":{\"a\":[1]},\n \"n\":1}"));
    assert_ne!(with(r#"{"n":1}"#), with(r#"{"n":2}"#));
}

#[test]
fn no_publisher_names_the_id_or_the_time_that_weir_gives() {
    let event = r#"{"specversion":"1.0","id":"7","source":"/s","type":"t","weirid":"MARK","weirtime":"assumed",
                    "time":"2024-01-05T08:00:00Z"}"#;
    let event = event.replace("MARK", "0192f0c1-2345-7abc-8def-0123456789ab");
    let expected = EventId::from_source(&tenant(), &Source::new("/s").expect("valid"), "7");
    let envelope = over_http(&event, 0);
    assert_eq!((Some(envelope.id), envelope.time_assumed), (expected, false));
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", "7"),
        ("ce_weirid", "0192f0c1-2345-7abc-8def-0123456789ab"),
        ("ce_weirtime", "assumed"),
        ("ce_time", "2024-01-05T08:00:00Z"),
        ("ce_source", "/s"),
        ("ce_type", "t"),
        ("ce_tenantid", "acme"),
        ("content-type", "application/json"),
    ];
    let envelope = on_a_topic(&headers, b"{}", 0);
    assert_eq!((Some(envelope.id), envelope.time_assumed), (expected, false));
}

#[test]
fn an_avro_producer_of_somebody_elses_is_known_by_source_and_id() {
    let mut encoded = encode(&api_call(), &Framing::SingleObject);
    encoded.headers.retain(|(name, _)| *name != "ce_weirid");
    let from = |source: &str| {
        let mut encoded = encoded.clone();
        let header = encoded.headers.iter_mut().find(|(name, _)| *name == "ce_source").expect("a source");
        header.1 = source.as_bytes().to_vec();
        match decode_encoded(Topic::Activity, &encoded, noon().timestamp_millis(), &NoRegistry) {
            Ok(Decoded::Event(envelope)) => *envelope,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(from("/a"), from("/a"));
    assert_ne!(from("/a").id, from("/b").id);
    assert_eq!(from("/a").original_id, Some(api_call().id.to_string()));
}

#[test]
fn a_mapped_record_is_its_own_content() {
    let envelope = api_call();
    let with = |change: &dyn Fn(&mut Envelope)| {
        let mut other = envelope.clone();
        change(&mut other);
        other.content_sha256() == envelope.content_sha256()
    };
    assert!(with(
        &|e| e.event = Event::Activity(Activity { action: "BetterName".into(), ..activity(&envelope) })
    ));
    assert!(with(&|e| e.source = Source::new("aws://unknown").expect("valid")));
    assert!(!with(&|e| e.native.as_mut().expect("a record").record = "{}".into()));
    assert!(!with(&|e| e.native.as_mut().expect("a record").format = "acme.log".into()));
    assert!(!with(&|e| e.tenant = TenantId::new("other").expect("valid")));
}

fn activity(envelope: &Envelope) -> Activity {
    match &envelope.event {
        Event::Activity(activity) => activity.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_audit_event_of_kubernetes_is_the_same_in_the_wrapping_of_aks() {
    let log = r#"{"auditID":"1","stage":"ResponseComplete","verb":"get","impersonatedUser":null}"#;
    let wrapped =
        format!(r#"{{"category":"kube-audit","properties":{{"log":{}}}}}"#, serde_json::Value::from(log));
    let with = |record: &str| {
        let native = Native { format: "kubernetes.audit".into(), record: record.into() };
        Envelope { native: Some(native), ..api_call() }.content_sha256()
    };
    assert_eq!(with(log), with(&wrapped));
    assert_eq!(with(log), with(r#"{"verb":"get","stage":"ResponseComplete","auditID":"1"}"#));
    assert_ne!(with(log), with(r#"{"properties":{"log":"plain text"},"auditID":"1"}"#));
}
