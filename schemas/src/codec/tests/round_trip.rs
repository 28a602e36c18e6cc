//! Encoding and decoding give back the same event, in every framing and mode.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{arbitrary::envelope, *};

fn decoded(answer: Result<Decoded, DecodeError>) -> Envelope {
    match answer {
        Ok(Decoded::Event(envelope)) => *envelope,
        other => panic!("{other:?}"),
    }
}

/// A publisher's event as its receiver decodes it, without what only Weir's own records carry.
fn as_published(envelope: &Envelope) -> Envelope {
    let id = envelope.original_id.clone().unwrap_or_else(|| envelope.id.to_string());
    Envelope {
        id: EventId::from_source(&envelope.tenant, &envelope.source, &id).expect("an id"),
        original_id: Some(id),
        time_assumed: false,
        ..envelope.clone()
    }
}

/// The event as a publisher would write it in structured JSON.
fn structured(envelope: &Envelope) -> Value {
    let mut data: Value = serde_json::to_value(&envelope.event).expect("JSON");
    data.as_object_mut().expect("an object").remove("kind");
    if let Some(native) = &envelope.native {
        data["native"] = json!({ "format": native.format, "record": native.record });
    }
    let trace = envelope.trace.as_ref();
    json!({
        "specversion": "1.0",
        "id": envelope.original_id.clone().unwrap_or_else(|| envelope.id.to_string()),
        "source": envelope.source.as_str(),
        "type": envelope.event.ce_type(),
        "time": envelope.occurred_at.to_rfc3339(),
        "subject": envelope.subject,
        "tenantid": envelope.tenant.as_str(),
        "correlationid": envelope.correlation_id,
        "causationid": envelope.causation_id,
        "traceparent": trace.map(|trace| &trace.traceparent),
        "tracestate": trace.and_then(|trace| trace.tracestate.as_ref()),
        "datacontenttype": "application/json",
        "data": data,
    })
}

proptest! {
    #[test]
    fn avro_in_both_framings(envelope in envelope()) {
        let at = envelope.occurred_at.timestamp_millis();
        for framing in [Framing::SingleObject, Framing::Confluent(ids())] {
            let encoded = encode(&envelope, &framing);
            prop_assert_eq!(&encoded, &encode(&envelope, &framing));
            let answer = decode_encoded(envelope.event.topic(), &encoded, at, &OwnRegistry);
            prop_assert_eq!(&decoded(answer), &envelope);
        }
    }

    #[test]
    fn a_native_record_shares_the_memory_of_its_value(envelope in envelope()) {
        let encoded = encode(&envelope, &Framing::SingleObject);
        let headers: Vec<_> = encoded.headers.iter().map(|(name, value)| (*name, Some(value.as_slice()))).collect();
        let value = Bytes::from(encoded.value);
        let timestamp_ms = envelope.occurred_at.timestamp_millis();
        let topic = envelope.event.topic();
        let incoming = Incoming { topic, key: None, value: Some(&value), headers: &headers, timestamp_ms };
        let shared = decoded(decode_shared(&incoming, &value, &NoRegistry));
        prop_assert_eq!(&shared, &envelope);
        if let Some(native) = shared.native.filter(|native| !native.record.is_empty()) {
            prop_assert!(value.as_ptr_range().contains(&native.record.as_ptr()));
        }
    }

    #[test]
    fn only_equal_events_have_equal_canonical_bytes(one in envelope(), other in envelope()) {
        let form = |event: &Event| (event.ce_type(), event.canonical_bytes());
        prop_assert_eq!(one.event == other.event, form(&one.event) == form(&other.event));
        prop_assert_eq!(form(&one.event.clone()), form(&one.event));
    }

    #[test]
    fn structured_json_over_http_and_on_the_topic(envelope in envelope()) {
        let published = as_published(&envelope);
        let body = structured(&envelope).to_string().into_bytes();
        let parsed = json::parse_structured(&body, &envelope.tenant, envelope.occurred_at);
        prop_assert_eq!(parsed.as_ref(), Ok(&published));
        prop_assert_eq!(parsed.map(|e| e.content_sha256()), Ok(published.content_sha256()));

        let content_type = ("content-type", b"Application/CloudEvents+JSON; charset=UTF-8".to_vec());
        let encoded = Encoded { key: Vec::new(), value: body, headers: vec![content_type] };
        let at = envelope.occurred_at.timestamp_millis();
        prop_assert_eq!(&decoded(decode_encoded(envelope.event.topic(), &encoded, at, &NoRegistry)), &published);
    }

    #[test]
    fn binary_json_on_the_topic(envelope in envelope()) {
        let mut encoded = encode(&envelope, &Framing::SingleObject);
        encoded.value = structured(&envelope)["data"].to_string().into_bytes();
        encoded.headers.retain(|(name, _)| *name != "content-type");
        encoded.headers.push(("content-type", b"application/json".to_vec()));
        let at = envelope.occurred_at.timestamp_millis();
        let published = as_published(&envelope);
        prop_assert_eq!(&decoded(decode_encoded(envelope.event.topic(), &encoded, at, &NoRegistry)), &published);
    }
}

#[test]
fn a_record_is_written_as_documented() {
    let encoded = encode(&api_call(), &Framing::SingleObject);
    assert_eq!(encoded.key, b"acme/arn:aws:iam::123456789012:user/alice");
    assert_eq!(encoded.value[..2], [0xC3, 0x01]);
    assert_eq!(encoded.value[2..10], own_schemas()[0].fingerprint);
    let headers: Vec<_> = encoded
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", std::str::from_utf8(value).expect("UTF-8")))
        .collect();
    insta::assert_snapshot!(headers.join("\n"), @r"
    ce_specversion: 1.0
    ce_id: cba76c45-5f08-8fd6-81ca-878e71c45d75
    ce_weirid: cba76c45-5f08-8fd6-81ca-878e71c45d75
    ce_source: aws:cloudtrail/eu-west-1
    ce_type: io.weir.activity.permission_changed.v1
    ce_time: 2024-05-06T07:08:09.123456Z
    ce_tenantid: acme
    ce_subject: arn:aws:iam::123456789012:user/alice
    ce_correlationid: change-17
    content-type: application/avro
    ");

    let confluent = encode(&api_call(), &Framing::Confluent(ids()));
    assert_eq!(confluent.value[..5], [0, 0, 0, 0, 101]);
    assert_eq!(confluent.value[5..], encoded.value[10..]);
    assert_eq!(confluent.headers, encoded.headers);
}

#[test]
fn an_event_without_an_entity_is_keyed_by_its_source() {
    let mut envelope = api_call();
    let Event::Activity(activity) = &mut envelope.event else { unreachable!("an activity") };
    activity.actor.id.clear();
    assert_eq!(encode(&envelope, &Framing::SingleObject).key, b"acme/aws:cloudtrail/eu-west-1");
}

#[test]
fn time_is_kept_to_the_microsecond() {
    let mut envelope = api_call();
    envelope.occurred_at += chrono::TimeDelta::nanoseconds(789);
    let encoded = encode(&envelope, &Framing::SingleObject);
    let at = noon().timestamp_millis();
    assert_eq!(decoded(decode_encoded(Topic::Activity, &encoded, at, &NoRegistry)).occurred_at, noon());
}
